package sock

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// dialSmall connects with a small receive buffer, so that a client that does
// not read is full soon.
func dialSmall(t testing.TB, addr string) *testClient {
	t.Helper()
	d := net.Dialer{Control: func(_, _ string, rc syscall.RawConn) error {
		return rc.Control(func(fd uintptr) {
			_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096)
		})
	}}
	nc, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return upgrade(t, nc, nil)
}

// smallSendBuffers makes the kernel refuse writes soon.
type smallSendBuffers struct{ net.Listener }

func (l smallSendBuffers) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err == nil {
		err = nc.(*net.TCPConn).SetWriteBuffer(4096)
	}
	return nc, err
}

func smallBuffers(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return smallSendBuffers{l}
}

// A client that never reads is cut at the byte bound, and delays nobody.
func TestNeverReadingClientIsCut(t *testing.T) {
	t.Parallel()
	const bound = 64 << 10
	var log lockedBuffer
	s, recorders := startRecorder(t, testOptions{
		cfg:      Config{QueueBytes: bound, Logger: slog.New(slog.NewTextHandler(&log, nil))},
		listener: smallBuffers(t),
	}, nil)
	const readers, messages = 10, 200
	frame := NewFrame(bytes.Repeat([]byte("x"), 2000), false)
	var wg sync.WaitGroup
	conns := make([]*Conn, 0, readers+3)
	for range readers {
		c := dialSmall(t, s.addr)
		conns = append(conns, receive(t, recorders, "connection").conn)
		wg.Go(func() {
			for i := range messages {
				if op, p, err := c.next(); err != nil || op != opText || len(p) != 2000 {
					t.Errorf("message %d: opcode %d, %d bytes, %v", i, op, len(p), err)
					return
				}
			}
		})
	}
	var stuck []*recorder
	for range 3 {
		dialSmall(t, s.addr)
		r := receive(t, recorders, "connection")
		stuck = append(stuck, r)
		conns = append(conns, r.conn)
	}
	var slowest time.Duration
	for range messages {
		for i, c := range conns {
			for { // a reader that is merely slow on this machine is waited for
				c.mu.Lock()
				full := c.queued+len(frame) > bound
				c.mu.Unlock()
				if i >= readers || !full {
					break
				}
				time.Sleep(100 * time.Microsecond)
			}
			begin := time.Now()
			ok := c.Send(frame)
			slowest = max(slowest, time.Since(begin))
			if !ok && i < readers {
				t.Fatal("a reading client was cut")
			}
		}
	}
	wg.Wait()
	for _, r := range stuck {
		wantClosed(t, r, TooSlow, 1006)
	}
	if st := s.pool.Stats(); st.SlowBytes != 3 || st.SlowStall != 0 {
		t.Errorf("stats %+v", st)
	}
	if slowest > DefaultStallTimeout/2 { // one that waited would wait for the stall timeout
		t.Errorf("the slowest Send took %v", slowest)
	}
	if got := strings.Count(log.String(), "slow websocket client dropped"); got != 1 {
		t.Errorf("logged %d times, want once a second:\n%s", got, log.String())
	}
	if !strings.Contains(log.String(), "queued_bytes=") {
		t.Errorf("no queue size in the log: %s", log.String())
	}
}

// The bound is exact: what is queued never exceeds it, one frame more cuts.
func TestQueueBoundIsExact(t *testing.T) {
	t.Parallel()
	const bound = 10_000
	s, recorders := startRecorder(t, testOptions{cfg: Config{QueueBytes: bound}, listener: smallBuffers(t)}, nil)
	dialSmall(t, s.addr)
	r := receive(t, recorders, "connection")
	frame := NewFrame(make([]byte, 998), true)[:] // 1002 bytes
	for {
		r.conn.mu.Lock()
		queued := r.conn.queued
		r.conn.mu.Unlock()
		if queued > bound {
			t.Fatalf("%d bytes queued", queued)
		}
		if ok := r.conn.Send(frame); !ok {
			if queued+len(frame) <= bound {
				t.Fatalf("cut with %d bytes queued", queued)
			}
			break
		}
	}
	wantClosed(t, r, TooSlow, 1006)
}

// One frame larger than the bound passes if nothing else waits.
func TestFrameLargerThanTheBound(t *testing.T) {
	t.Parallel()
	s, recorders := startRecorder(t, testOptions{cfg: Config{QueueBytes: 1000}, listener: smallBuffers(t)}, nil)
	c := dialSmall(t, s.addr)
	r := receive(t, recorders, "connection")
	big := strings.Repeat("b", 1<<20)
	if !r.conn.Send(NewFrame([]byte(big), false)) {
		t.Fatal("Send reports false")
	}
	r.conn.Close(1000, "")
	c.want(opText, big)
	c.wantClose(1000)
}

func TestStalledClientIsCut(t *testing.T) {
	t.Parallel()
	s, recorders := startRecorder(t, testOptions{cfg: Config{StallTimeout: 50 * time.Millisecond}, listener: smallBuffers(t)}, nil)
	c := dialSmall(t, s.addr)
	r := receive(t, recorders, "connection")
	for i := 0; i < 200; i++ {
		r.conn.Send(NewFrame(make([]byte, 4000), true))
	}
	wantClosed(t, r, TooSlow, 1006)
	if st := s.pool.Stats(); st.SlowBytes != 0 || st.SlowStall != 1 {
		t.Errorf("stats %+v", st)
	}
	_, err := io.Copy(io.Discard, c.nc)
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("client got %v, want a reset", err)
	}
}

// A client that reads slowly but steadily is not cut for stalling: each piece
// that the kernel takes begins the stall timeout anew.
func TestSlowProgressIsNoStall(t *testing.T) {
	t.Parallel()
	const stall = time.Hour // the sweeps of the test are the only ones that matter
	s, recorders := startRecorder(t, testOptions{cfg: Config{StallTimeout: stall, IdleTimeout: -1}, listener: smallBuffers(t)}, nil)
	c := dialSmall(t, s.addr)
	r := receive(t, recorders, "connection")
	r.conn.Send(NewFrame(make([]byte, 1<<20), true))
	blocked := func(since int64) int64 {
		var at int64
		waitFor(t, "a blocked write", func() bool {
			at = r.conn.blockedAt.Load()
			return at > since
		})
		return at
	}
	first := blocked(0)
	if _, err := io.CopyN(io.Discard, c.br, 200_000); err != nil {
		t.Fatal(err)
	}
	blocked(first)
	r.conn.sweep(first + int64(stall))
	if len(r.closed) != 0 {
		t.Fatal("cut in spite of progress")
	}
	r.conn.sweep(r.conn.blockedAt.Load() + int64(stall))
	wantClosed(t, r, TooSlow, 1006)
}

// Everything at once on one connection: all arrives whole and in order, and
// nothing comes after the Close frame.
func TestConcurrentSenders(t *testing.T) {
	t.Parallel()
	for _, tlsOn := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls=%v", tlsOn), func(t *testing.T) {
			t.Parallel()
			const senders, each = 3, 2000
			l := smallBuffers(t)
			if tlsOn {
				l = tlsListener(l)
			}
			s, recorders := startRecorder(t, testOptions{listener: l, cfg: Config{QueueBytes: 1 << 30}}, nil)
			c := dialWith(t, s.addr, tlsOn)
			r := receive(t, recorders, "connection")
			var wg sync.WaitGroup
			for sender := range senders {
				wg.Go(func() {
					for i := range each {
						size := (i * 37 % 300) + 20
						if i%500 == 0 {
							size = 70_000
						}
						text := fmt.Sprintf("%d %d ", sender, i)
						r.conn.Send(NewFrame([]byte(text+strings.Repeat("x", size)), false))
					}
				})
			}
			wg.Go(func() {
				for i := range 200 {
					c.send(opPing, fmt.Sprint("ping ", i))
				}
			})
			go func() {
				wg.Wait()
				r.conn.Close(1000, "")
				r.conn.Send(NewFrame([]byte("late"), false))
			}()
			var next [senders]int
			pongs := 0
			for {
				op, p, err := c.next()
				if err != nil {
					t.Fatal(err)
				}
				switch op {
				case opText:
					var sender, i int
					if _, err := fmt.Sscanf(string(p), "%d %d ", &sender, &i); err != nil {
						t.Fatalf("%v in %.40q", err, p)
					}
					if i != next[sender] {
						t.Fatalf("message %d of sender %d, want %d", i, sender, next[sender])
					}
					next[sender]++
					continue
				case opPong:
					if string(p) != fmt.Sprint("ping ", pongs) {
						t.Fatalf("pong %q, want number %d", p, pongs)
					}
					pongs++
					continue
				}
				if op != opClose || string(p) != "\x03\xe8" {
					t.Fatalf("got opcode %d, %q", op, p)
				}
				break
			}
			for sender, n := range next {
				if n != each {
					t.Errorf("%d messages of sender %d", n, sender)
				}
			}
			c.sendClose(1000, "")
			c.wantEOF()
			wantClosed(t, r, LocalClosed, 1000)
		})
	}
}

// What is queued while another sender writes inline goes out behind it.
func TestSendWhileAnotherWrites(t *testing.T) {
	t.Parallel()
	s, recorders := startRecorder(t, testOptions{}, nil)
	c := dial(t, s.addr)
	conn := receive(t, recorders, "connection").conn
	conn.mu.Lock()
	conn.writing = true // as the other sender sets it before its write
	conn.mu.Unlock()
	conn.Send(NewFrame([]byte("second"), false))
	conn.attempt(NewFrame([]byte("first"), false), nil)
	c.want(opText, "first")
	c.want(opText, "second")
}

// Queued frames are joined: far fewer writes than frames.
func TestQueuedFramesAreJoined(t *testing.T) {
	t.Parallel()
	s, recorders := startRecorder(t, testOptions{listener: smallBuffers(t)}, nil)
	c := dial(t, s.addr)
	r := receive(t, recorders, "connection")
	const frames = 5000
	sent := make(chan struct{})
	for i := range frames {
		r.conn.Send(NewFrame(fmt.Appendf(nil, "%0100d", i), false))
		if i == frames-1 {
			close(sent)
		}
	}
	<-sent
	for i := range frames {
		c.want(opText, fmt.Sprintf("%0100d", i))
	}
	if st := s.pool.Stats(); st.WriteCalls > frames/2 {
		t.Errorf("%d writes for %d frames", st.WriteCalls, frames)
	}
	waitFor(t, "the flusher to end", func() bool {
		r.conn.mu.Lock()
		defer r.conn.mu.Unlock()
		return !r.conn.writing && r.conn.queued == 0 && r.conn.queue.frames == nil
	})
}

func TestSendAllocatesNothing(t *testing.T) {
	if raceEnabled {
		// Under the race detector sync.Pool drops values at random. The sends
		// still run; the count means nothing.
		t.Log("allocations are not counted under the race detector")
	}
	s, recorders := startRecorder(t, testOptions{}, nil)
	c := dial(t, s.addr)
	r := receive(t, recorders, "connection")
	go func() { _, _ = io.Copy(io.Discard, c.nc) }()
	frame := NewFrame(make([]byte, 160), false)
	allocs := testing.AllocsPerRun(1000, func() {
		if !r.conn.Send(frame) {
			t.Fatal("Send reports false")
		}
		for {
			r.conn.mu.Lock()
			idle := !r.conn.writing
			r.conn.mu.Unlock()
			if idle {
				break
			}
			runtime.Gosched()
		}
	})
	if allocs > 0 && !raceEnabled {
		t.Errorf("%v allocations per Send", allocs)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// What was written may be used again; what the kernel did not take may not.
func TestSendOnceSaysWhatItKeeps(t *testing.T) {
	t.Parallel()
	s, recorders := startRecorder(t, testOptions{cfg: Config{QueueBytes: 8 << 20}, listener: smallBuffers(t)}, nil)
	client := dialSmall(t, s.addr)
	c := receive(t, recorders, "connection").conn
	frame := NewFrame(bytes.Repeat([]byte("x"), 1000), false)
	sent, kept := 0, false
	for ; !kept; sent++ {
		copied := bytes.Clone(frame)
		var ok bool
		if ok, kept = c.SendOnce(copied); !ok {
			t.Fatal("not sent")
		}
		if !kept {
			clear(copied) // it is ours again
		}
	}
	if sent < 2 {
		t.Fatal("even the first was kept")
	}
	if _, kept = c.SendOnce(frame); !kept {
		t.Error("behind one that waits, another is not kept")
	}
	for range sent + 1 {
		client.want(opText, strings.Repeat("x", 1000))
	}
}
