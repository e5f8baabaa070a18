package sock

import (
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/trunkline/trunkline/internal/worker"
)

func TestMessagesComeBackWhole(t *testing.T) {
	t.Parallel()
	s := startServer(t, testOptions{accept: AcceptOptions{Subprotocol: "phoenix"}})
	c := dial(t, s.addr)
	for _, n := range []int{0, 1, 125, 126, 4095, 4096, 4097, 65535, 65536, 300_000, 1 << 20} {
		payload := strings.Repeat("x", n)
		c.send(opText, payload)
		c.want(opText, payload)
		c.send(opBinary, payload)
		c.want(opBinary, payload)
	}
	// The last write is counted after it, so perhaps after its arrival.
	waitFor(t, "the last message to be counted", func() bool { return s.pool.Stats().MessagesOut == 22 })
	st := s.pool.Stats()
	if st.Connections != 1 || st.Accepted != 1 || st.MessagesIn != 22 ||
		st.BytesIn < 2_870_000 || st.BytesOut < 2_870_000 || st.WriteCalls < 22 {
		t.Errorf("stats %+v", st)
	}
}

func TestSubprotocolIsAnsweredAsGiven(t *testing.T) {
	t.Parallel()
	for _, proto := range []string{"", "phoenix"} {
		s := startServer(t, testOptions{accept: AcceptOptions{Subprotocol: proto}})
		nc, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		c := &testClient{t: t, nc: nc}
		c.br = newReader(nc)
		c.write([]byte(strings.Replace(handshake, "\r\n\r\n", "\r\nSec-WebSocket-Protocol: other\r\n"+
			"Sec-WebSocket-Extensions: permessage-deflate\r\nOrigin: https://elsewhere.example\r\n\r\n", 1)))
		status, header := c.response()
		if status != 101 || header.Get("Sec-WebSocket-Protocol") != proto ||
			header.Get("Sec-WebSocket-Extensions") != "" {
			t.Errorf("answered %d %v, want protocol %q and no extension", status, header, proto)
		}
		_ = nc.Close()
	}
}

func TestFramesRightBehindTheHandshake(t *testing.T) {
	t.Parallel()
	s := startServer(t, testOptions{})
	for _, n := range []int{1, 100, 3000, 9000} {
		nc, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		payload := strings.Repeat("a", n)
		behind := append(maskedFrame(0x81, []byte(payload)), maskedFrame(0x81, []byte("second"))...)
		c := upgrade(t, nc, behind)
		c.want(opText, payload)
		c.want(opText, "second")
	}
}

func TestManyFramesInOneSegmentKeepTheirOrder(t *testing.T) {
	t.Parallel()
	s := startServer(t, testOptions{})
	c := dial(t, s.addr)
	var all []byte
	for i := range 500 {
		all = append(all, maskedFrame(0x81, fmt.Appendf(nil, "message %d", i))...)
	}
	c.write(all)
	for i := range 500 {
		c.want(opText, fmt.Sprintf("message %d", i))
	}
}

func TestOneByteAtATime(t *testing.T) {
	t.Parallel()
	s := startServer(t, testOptions{})
	c := dial(t, s.addr)
	all := append(maskedFrame(0x80|opPing, []byte("p")), maskedFrame(0x81, []byte(strings.Repeat("x", 130)))...)
	for _, b := range all {
		c.write([]byte{b})
	}
	c.want(opPong, "p")
	c.want(opText, strings.Repeat("x", 130))
}

func TestPingsAndFragments(t *testing.T) {
	t.Parallel()
	s := startServer(t, testOptions{})
	c := dial(t, s.addr)
	c.send(opPing, "abc")
	c.want(opPong, "abc")
	c.send(opPing, "")
	c.want(opPong, "")
	c.write(maskedFrame(opText, []byte("[null,\"1\",")))
	c.send(opPing, "between")
	c.want(opPong, "between")
	c.write(maskedFrame(opContinuation, nil))
	c.send(opPong, "unasked")
	c.write(maskedFrame(0x80|opContinuation, []byte("{}]")))
	c.want(opText, `[null,"1",{}]`)
	// The first byte of the next frame comes together with the ping.
	m := maskedFrame(0x81, []byte("split"))
	c.write(append(maskedFrame(0x80|opPing, []byte("q")), m[0]))
	c.want(opPong, "q")
	c.write(m[1:])
	c.want(opText, "split")
	// Pings, a message and pings again in one segment.
	var all []byte
	for i := range 20 {
		all = append(all, maskedFrame(0x80|opPing, []byte{byte('a' + i)})...)
	}
	all = append(all, maskedFrame(0x81, []byte("m"))...)
	c.write(append(all, maskedFrame(0x80|opPing, []byte("last"))...))
	for i := range 20 {
		c.want(opPong, string(rune('a'+i)))
	}
	c.want(opText, "m")
	c.want(opPong, "last")
}

// A client that sends nothing but pings must cost one goroutine, as any other.
func TestPingingConnectionsHoldNoWorker(t *testing.T) {
	s := startServer(t, testOptions{})
	const conns = 200
	limit := runtime.NumGoroutine() + conns + worker.MaxIdle
	clients := make([]*testClient, conns)
	for i := range clients {
		clients[i] = dial(t, s.addr)
	}
	for range 3 {
		for _, c := range clients {
			c.send(opPing, "p")
		}
		for _, c := range clients {
			c.want(opPong, "p")
		}
	}
	waitFor(t, "workers to end", func() bool { return runtime.NumGoroutine() <= limit })
	for _, c := range clients {
		c.send(opText, "still there")
		c.want(opText, "still there")
	}
}

func TestBlockedHandlerHoldsOnlyItsOwnConnection(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s, recorders := startRecorder(t, testOptions{}, func(c *Conn, data []byte) {
		if string(data) == "block" {
			<-release
		}
		c.Send(NewFrame(data, false))
	})
	var blocked []*testClient
	for range worker.MaxIdle + 10 {
		c := dial(t, s.addr)
		c.send(opText, "block")
		c.send(opText, "after")
		blocked = append(blocked, c)
		<-recorders
	}
	c := dial(t, s.addr)
	c.send(opText, "free")
	c.want(opText, "free")
	close(release)
	for _, c := range blocked {
		c.want(opText, "block")
		c.want(opText, "after")
	}
}

func TestHandlerPanicClosesItsConnectionOnly(t *testing.T) {
	t.Parallel()
	s, recorders := startRecorder(t, testOptions{}, func(c *Conn, data []byte) {
		if string(data) == "boom" {
			panic("boom")
		}
		c.Send(NewFrame(data, false))
	})
	other := dial(t, s.addr)
	<-recorders
	c := dial(t, s.addr)
	c.send(opText, "boom")
	c.wantClose(1011)
	wantClosed(t, <-recorders, LocalClosed, 1011)
	other.send(opText, "fine")
	other.want(opText, "fine")
}

func TestRemoteAddr(t *testing.T) {
	t.Parallel()
	s, recorders := startRecorder(t, testOptions{}, nil)
	c := dial(t, s.addr)
	r := receive(t, recorders, "connection")
	if got, want := r.conn.RemoteAddr().String(), c.nc.LocalAddr().String(); got != want {
		t.Errorf("RemoteAddr is %s, want %s", got, want)
	}
}

// waitFor polls for a condition that nothing announces.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(eventLimit); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v for %s", eventLimit, what)
		}
	}
}
