package sock

import (
	"encoding/binary"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

// The benchmarks below send one frame of 164 bytes to each of fanOut
// connections in turn; one operation is one delivery. Compare them within one
// run: CPU-ns/op is user and system time of the whole process, the receiving
// side included, which is the same for all of them.

const fanOut = 1000

func benchFrame() []byte { return NewFrame(make([]byte, 160), false) }

// BenchmarkFanOutBareWrite is the floor: write(2) on the file descriptor.
func BenchmarkFanOutBareWrite(b *testing.B) {
	var fds []int
	fanOutBench(b, func(c *Conn) {
		_ = c.raw.Control(func(fd uintptr) { fds = append(fds, int(fd)) })
	}, func(i int, frame []byte) bool {
		n, err := syscall.Write(fds[i], frame)
		return n == len(frame) && err == nil
	})
}

func BenchmarkFanOutNetConn(b *testing.B) {
	var conns []net.Conn
	fanOutBench(b, func(c *Conn) { conns = append(conns, c.nc) }, func(i int, frame []byte) bool {
		_, err := conns[i].Write(frame)
		return err == nil
	})
}

func BenchmarkFanOutSend(b *testing.B) {
	var conns []*Conn
	fanOutBench(b, func(c *Conn) { conns = append(conns, c) }, func(i int, frame []byte) bool {
		return conns[i].Send(frame)
	})
}

func fanOutBench(b *testing.B, add func(*Conn), send func(i int, frame []byte) bool) {
	s, recorders := startRecorder(b, testOptions{cfg: Config{QueueBytes: 64 << 20}}, nil)
	drained := startDrain(b)
	for range fanOut {
		c := dial(b, s.addr)
		drained.add(c.nc)
		add(receive(b, recorders, "connection").conn)
	}
	frame := benchFrame()
	begin := cpuTime(b)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if !send(i%fanOut, frame) {
			b.Fatal("not sent")
		}
		if i%fanOut == fanOut-1 {
			drained.wait(b, int64(i+1)*int64(len(frame)))
		}
	}
	drained.wait(b, int64(b.N)*int64(len(frame)))
	b.StopTimer()
	b.ReportMetric(float64(cpuTime(b)-begin)/float64(b.N), "cpu-ns/op")
}

// drain reads all clients' bytes with one epoll loop, so that the receiving
// side costs little and allocates nothing.
type drain struct {
	epoll int
	total int64
	buf   []byte
	event []syscall.EpollEvent
	keep  []net.Conn
}

func startDrain(b *testing.B) *drain {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = syscall.Close(fd) })
	return &drain{epoll: fd, buf: make([]byte, 64<<10), event: make([]syscall.EpollEvent, 256)}
}

func (d *drain) add(nc net.Conn) {
	d.keep = append(d.keep, nc)
	raw, _ := nc.(*net.TCPConn).SyscallConn()
	_ = raw.Control(func(fd uintptr) {
		ev := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)}
		_ = syscall.EpollCtl(d.epoll, syscall.EPOLL_CTL_ADD, int(fd), &ev)
	})
}

// wait reads until want bytes have come in all.
func (d *drain) wait(b *testing.B, want int64) {
	for end := time.Now().Add(eventLimit); d.total < want; {
		n, err := syscall.EpollWait(d.epoll, d.event, 100)
		if err != nil && err != syscall.EINTR || time.Now().After(end) {
			b.Fatalf("%d of %d bytes: %v", d.total, want, err)
		}
		for i := range max(n, 0) {
			got, err := syscall.Read(int(d.event[i].Fd), d.buf)
			if got <= 0 {
				b.Fatalf("read: %d, %v", got, err)
			}
			d.total += int64(got)
		}
	}
}

func cpuTime(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkBurst sends ten frames to a connection whose client is behind, so
// that they are joined; one operation is one delivery.
func BenchmarkBurst(b *testing.B) {
	s, recorders := startRecorder(b, testOptions{cfg: Config{QueueBytes: 64 << 20}, listener: smallBuffers(b)}, nil)
	c := dial(b, s.addr)
	conn := receive(b, recorders, "connection").conn
	frame := benchFrame()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.CopyN(io.Discard, c.br, int64(b.N)*int64(len(frame)))
	}()
	begin := cpuTime(b)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		for !conn.Send(frame) {
			b.Fatal("not sent")
		}
		for i%1000 == 999 { // let the client catch up
			conn.mu.Lock()
			behind := conn.queued
			conn.mu.Unlock()
			if behind < 1<<20 {
				break
			}
			time.Sleep(100 * time.Microsecond)
		}
	}
	<-done
	b.StopTimer()
	b.ReportMetric(float64(cpuTime(b)-begin)/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(b.N)/float64(s.pool.Stats().WriteCalls), "frames/write")
}

// BenchmarkInbound is one message in and its echo out.
func BenchmarkInbound(b *testing.B) {
	s := startServer(b, testOptions{})
	c := dial(b, s.addr)
	frame := maskedFrame(0x81, make([]byte, 100))
	answer := make([]byte, 102)
	begin := cpuTime(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.nc.Write(frame); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c.br, answer); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpuTime(b)-begin)/float64(b.N), "cpu-ns/op")
	if got := binary.BigEndian.Uint16(answer); got != 0x8164 {
		b.Fatalf("answer starts with %x", got)
	}
}
