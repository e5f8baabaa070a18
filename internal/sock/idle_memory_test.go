package sock

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/trunkline/trunkline/internal/worker"
)

// Limits of an idle connection that has joined. A plain net/http handler with
// the library alone costs 25 KB.
const (
	idleBytesLimit      = 9 << 10
	idleGoroutinesLimit = 1
)

const idleClientsEnv = "SOCK_TEST_IDLE_CLIENTS" // "ADDR COUNT"

// TestIdleConnection measures what a connection costs that has sent one message
// and got one back: resident memory of this process, which is the server's
// alone, and goroutines.
func TestIdleConnection(t *testing.T) {
	conns := 5000
	if raceEnabled {
		conns = 500 // memory means nothing under the race detector, goroutines do
	}
	m := measureIdle(t, conns)
	t.Logf("%d idle connections: %.0f bytes RSS, %.0f after a GC, %.0f heap, %.0f stack, %.3f goroutines each",
		conns, m.rss, m.rssAfterGC, m.heap, m.stack, m.goroutines)
	if m.goroutines > idleGoroutinesLimit {
		t.Errorf("%.3f goroutines per idle connection, limit %d", m.goroutines, idleGoroutinesLimit)
	}
	if m.rss > idleBytesLimit && !raceEnabled {
		t.Errorf("%.0f bytes per idle connection, limit %d", m.rss, idleBytesLimit)
	}
}

func BenchmarkIdleConnection(b *testing.B) {
	for b.Loop() {
		m := measureIdle(b, 5000)
		b.ReportMetric(m.rss, "B-rss/conn")
		b.ReportMetric(m.rssAfterGC, "B-rss-gc/conn")
		b.ReportMetric(m.heap, "B-heap/conn")
		b.ReportMetric(m.stack, "B-stack/conn")
		b.ReportMetric(m.goroutines, "goroutines/conn")
	}
}

// idleCost is per connection.
type idleCost struct{ rss, rssAfterGC, heap, stack, goroutines float64 }

func measureIdle(t testing.TB, conns int) idleCost {
	s := startServer(t, testOptions{})
	// Workers that have nothing to do are a fixed cost: have them all now.
	warm := make([]*testClient, worker.MaxIdle)
	for i := range warm {
		warm[i] = dial(t, s.addr)
		warm[i].send(opText, "join")
	}
	for _, c := range warm {
		c.want(opText, "join")
		_ = c.nc.Close()
	}
	waitFor(t, "the warm-up to end", func() bool { return s.pool.Stats().Connections == 0 })

	debug.FreeOSMemory()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	// Workers without work are not counted: they belong to no connection.
	goroutines := func() int { return runtime.NumGoroutine() - s.pool.serves.Idle() }
	rssBefore, goroutinesBefore := residentBytes(t), goroutines()

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", idleClientsEnv, s.addr, conns))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("clients said %q, %v", line, err)
	}
	waitFor(t, "all connections to be idle", func() bool {
		return s.pool.Stats().MessagesOut >= uint64(conns+len(warm)) && goroutines() <= goroutinesBefore+conns
	})
	per := func(now, then float64) float64 { return (now - then) / float64(conns) }
	m := idleCost{
		rss:        per(residentBytes(t), rssBefore),
		goroutines: per(float64(goroutines()), float64(goroutinesBefore)),
	}
	debug.FreeOSMemory()
	runtime.ReadMemStats(&after)
	m.rssAfterGC = per(residentBytes(t), rssBefore)
	m.heap = per(float64(after.HeapAlloc), float64(before.HeapAlloc))
	m.stack = per(float64(after.StackInuse), float64(before.StackInuse))

	_ = in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	return m
}

func residentBytes(t testing.TB) float64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(b))[1])
	if err != nil {
		t.Fatal(err)
	}
	return float64(pages * os.Getpagesize())
}

// runIdleClients is the other process: it connects, sends one message on each
// connection, says so, and holds them until its standard input ends.
func runIdleClients(spec string) int {
	addr, count, _ := strings.Cut(spec, " ")
	n, err := strconv.Atoi(count)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	held := make([]net.Conn, n)
	for i := range held {
		if held[i], err = joinIdle(addr); err != nil {
			fmt.Fprintf(os.Stderr, "connection %d: %v\n", i, err)
			return 1
		}
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	for _, nc := range held {
		_ = nc.Close()
	}
	return 0
}

func joinIdle(addr string) (net.Conn, error) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(nc, handshake); err != nil {
		return nil, err
	}
	// The answer is read up to its blank line, byte by byte: no buffer is kept.
	var b [1]byte
	for end := 0; end < 4; {
		if _, err := nc.Read(b[:]); err != nil {
			return nil, err
		}
		if b[0] == "\r\n\r\n"[end] {
			end++
		} else {
			end = 0
		}
	}
	if _, err := nc.Write(maskedFrame(0x81, []byte(`["1","1","room:lobby","phx_join",{}]`))); err != nil {
		return nil, err
	}
	_, _, err = readFrame(nc)
	return nc, err
}
