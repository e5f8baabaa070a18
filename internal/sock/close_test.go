package sock

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

func newReader(r io.Reader) *bufio.Reader { return bufio.NewReader(r) }

func TestClientCloses(t *testing.T) {
	t.Parallel()
	s, recorders := startRecorder(t, testOptions{}, nil)
	for _, code := range []int{1000, 1001, 3000, 4001} {
		c := dial(t, s.addr)
		c.sendClose(code, "going home")
		c.wantClose(code) // echoed, with no reason
		c.wantEOF()
		r := receive(t, recorders, "connection")
		wantClosed(t, r, PeerClosed, code)
		if r.conn.Send(NewFrame([]byte("x"), false)) {
			t.Error("Send after the client closed reports true")
		}
	}
	c := dial(t, s.addr)
	c.send(opClose, "")
	c.want(opClose, "")
	c.wantEOF()
	wantClosed(t, receive(t, recorders, "connection"), PeerClosed, 1005)
	waitFor(t, "connections to be forgotten", func() bool { return s.pool.Stats().Connections == 0 })
}

func TestServerCloses(t *testing.T) {
	t.Parallel()
	s, recorders := startRecorder(t, testOptions{}, nil)
	c := dial(t, s.addr)
	r := receive(t, recorders, "connection")
	for i := range 100 {
		r.conn.Send(NewFrame(fmt.Append(nil, i), false))
	}
	r.conn.Close(1012, "")
	r.conn.Close(1000, "second") // has no effect
	if r.conn.Send(NewFrame([]byte("late"), false)) {
		t.Error("Send after Close reports true")
	}
	wantClosed(t, r, LocalClosed, 1012) // does not wait for the client
	for i := range 100 {
		c.want(opText, fmt.Sprint(i))
	}
	c.wantClose(1012)
	c.send(opText, "not handled any more")
	c.sendClose(1012, "")
	c.wantEOF()
	if len(r.messages) != 0 {
		t.Error("a message was handled after Close")
	}
}

func TestCloseReason(t *testing.T) {
	t.Parallel()
	s, recorders := startRecorder(t, testOptions{}, nil)
	c := dial(t, s.addr)
	receive(t, recorders, "connection").conn.Close(4000, "because")
	c.want(opClose, "\x0f\xa0because")
	c = dial(t, s.addr)
	receive(t, recorders, "connection").conn.Close(4000, strings.Repeat("é", 100))
	c.want(opClose, "\x0f\xa0"+strings.Repeat("é", 61))
}

func TestCloseFromHandler(t *testing.T) {
	t.Parallel()
	s, recorders := startRecorder(t, testOptions{}, func(c *Conn, data []byte) {
		c.Send(NewFrame([]byte("last"), false))
		c.Close(1007, "")
	})
	c := dial(t, s.addr)
	c.write(append(maskedFrame(0x81, []byte("a")), maskedFrame(0x81, []byte("b"))...))
	c.want(opText, "last")
	c.wantClose(1007)
	c.sendClose(1007, "")
	c.wantEOF()
	r := receive(t, recorders, "connection")
	wantClosed(t, r, LocalClosed, 1007)
	if len(r.messages) != 1 {
		t.Errorf("%d messages were handled, want 1", len(r.messages))
	}
}

func TestBothClose(t *testing.T) {
	t.Parallel()
	s, recorders := startRecorder(t, testOptions{}, nil)
	for range 50 {
		c := dial(t, s.addr)
		r := receive(t, recorders, "connection")
		go r.conn.Close(1001, "")
		c.sendClose(1000, "")
		op, payload, err := c.next()
		if err != nil || op != opClose || len(payload) != 2 {
			t.Fatalf("got opcode %d, %x, %v", op, payload, err)
		}
		c.wantEOF()                             // one Close frame only
		_ = receive(t, r.closed, "HandleClose") // either side may have been first
	}
}

// A connection that ended before Start still tells its handler.
func TestCloseBeforeStart(t *testing.T) {
	t.Parallel()
	recorders := make(chan *recorder, 1)
	s := startServer(t, testOptions{handler: func(c *Conn) Handler {
		c.Close(1001, "")
		r := newRecorder()
		recorders <- r
		return r
	}})
	c := dial(t, s.addr)
	c.wantClose(1001)
	wantClosed(t, receive(t, recorders, "connection"), LocalClosed, 1001)
	c.sendClose(1001, "")
	c.wantEOF()
}

// A client that never answers a Close frame is cut after CloseTimeout.
func TestCloseUnanswered(t *testing.T) {
	t.Parallel()
	s, recorders := startRecorder(t, testOptions{cfg: Config{CloseTimeout: 100 * time.Millisecond}}, nil)
	c := dial(t, s.addr)
	receive(t, recorders, "connection").conn.Close(1000, "")
	c.wantClose(1000)
	if _, _, err := c.next(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("client got %v, want a reset", err)
	}
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	s, recorders := startRecorder(t, testOptions{cfg: Config{ReadLimit: 4096}, accept: AcceptOptions{ReadLimit: 2048}},
		func(c *Conn, data []byte) { c.Send(NewFrame(data, false)) })
	other := dial(t, s.addr)
	receive(t, recorders, "connection")

	c := dial(t, s.addr)
	fits := strings.Repeat("x", 2048)
	c.send(opText, fits)
	c.want(opText, fits)
	c.send(opText, fits+"y")
	c.wantClose(1009)
	wantClosed(t, receive(t, recorders, "connection"), TooLarge, 1009)

	c = dial(t, s.addr)
	c.write(maskedFrame(opText, []byte(fits)))
	c.write(maskedFrame(0x80|opContinuation, []byte("y")))
	c.wantClose(1009)
	wantClosed(t, receive(t, recorders, "connection"), TooLarge, 1009)

	// The Close frame arrives although the client is in the middle of sending.
	c = dial(t, s.addr)
	c.write(maskedFrame(0x81, make([]byte, 8<<20)))
	c.wantClose(1009)
	c.wantEOF()

	other.send(opText, "fine")
	other.want(opText, "fine")
}

func TestProtocolErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		send []byte
	}{
		{"unmasked frame", NewFrame([]byte("x"), false)},
		{"reserved bit 1", maskedFrame(0xc1, []byte("x"))},
		{"reserved bit 3", maskedFrame(0x91, []byte("x"))},
		{"unknown data opcode", maskedFrame(0x83, []byte("x"))},
		{"unknown control opcode", maskedFrame(0x8b, []byte("x"))},
		{"continuation of nothing", maskedFrame(0x80, []byte("x"))},
		{"message within a message", append(maskedFrame(0x01, []byte("x")), maskedFrame(0x81, []byte("y"))...)},
		{"fragmented ping", maskedFrame(0x09, []byte("x"))},
		{"long ping", maskedFrame(0x89, make([]byte, 126))},
		{"close of one byte", maskedFrame(0x88, []byte{3})},
		{"close code 1005", maskedFrame(0x88, []byte{0x03, 0xed})},
		{"close code 999", maskedFrame(0x88, []byte{0x03, 0xe7})},
		{"negative length", append([]byte{0x81, 0xff, 0xff}, make([]byte, 20)...)},
	}
	s, recorders := startRecorder(t, testOptions{}, nil)
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			c := dial(t, s.addr)
			r := receive(t, recorders, "connection")
			c.write(tc.send)
			c.wantClose(1002)
			c.wantEOF()
			wantClosed(t, r, ProtocolError, 1002)
		})
	}
}

func TestClientDisconnects(t *testing.T) {
	t.Parallel()
	s, recorders := startRecorder(t, testOptions{}, nil)
	tests := map[string]func(*testClient){
		"FIN":           func(c *testClient) { _ = c.nc.Close() },
		"reset":         func(c *testClient) { _ = c.nc.(*net.TCPConn).SetLinger(0); _ = c.nc.Close() },
		"within header": func(c *testClient) { c.write([]byte{0x81}); _ = c.nc.Close() },
		"within payload": func(c *testClient) {
			f := maskedFrame(0x81, make([]byte, 100))
			c.write(f[:50])
			_ = c.nc.Close()
		},
		"within message": func(c *testClient) { c.write(maskedFrame(0x01, []byte("x"))); _ = c.nc.Close() },
	}
	for name, leave := range tests {
		t.Run(name, func(t *testing.T) {
			c := dial(t, s.addr)
			r := receive(t, recorders, "connection")
			leave(c)
			wantClosed(t, r, Disconnected, 1006)
		})
	}
	waitFor(t, "connections to be forgotten", func() bool { return s.pool.Stats().Connections == 0 })
}

func TestAbort(t *testing.T) {
	t.Parallel()
	s, recorders := startRecorder(t, testOptions{}, nil)
	c := dial(t, s.addr)
	r := receive(t, recorders, "connection")
	r.conn.Abort()
	err := receive(t, r.closed, "HandleClose")
	if !errors.Is(err, ErrAborted) {
		t.Errorf("HandleClose got %v", err)
	}
	if _, _, err := c.next(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("client got %v, want a reset", err)
	}
	r.conn.Abort()
	r.conn.Close(1000, "")
	if len(r.closed) != 0 {
		t.Error("HandleClose was called twice")
	}
}

// HandleClose waits for a HandleMessage that is running.
func TestHandleCloseComesLast(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	s, recorders := startRecorder(t, testOptions{}, func(*Conn, []byte) {
		close(entered)
		<-release
	})
	c := dial(t, s.addr)
	c.send(opText, "x")
	r := receive(t, recorders, "connection")
	receive(t, entered, "HandleMessage")
	r.conn.Abort()
	if _, _, err := c.next(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("client got %v, want a reset at once", err)
	}
	if len(r.closed) != 0 {
		t.Error("HandleClose was called while HandleMessage ran")
	}
	close(release)
	wantClosed(t, r, Disconnected, 1006)
}

func TestShutdownResetsAndWaits(t *testing.T) {
	t.Parallel()
	s, recorders := startRecorder(t, testOptions{}, nil)
	idle, closing := dial(t, s.addr), dial(t, s.addr)
	first, second := receive(t, recorders, "connection"), receive(t, recorders, "connection")
	if first.conn.RemoteAddr().String() != idle.nc.LocalAddr().String() {
		first, second = second, first
	}
	second.conn.Close(1012, "")
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	if _, _, err := idle.next(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("idle client got %v, want a reset", err)
	}
	wantClosed(t, first, Shutdown, 1006)
	closing.wantClose(1012) // is left to end its handshake
	closing.sendClose(1012, "")
	closing.wantEOF()
	if err := receive(t, stopped, "end of Run"); err != nil {
		t.Error(err)
	}
}

func TestShutdownMissesNobody(t *testing.T) {
	t.Parallel()
	s, recorders := startRecorder(t, testOptions{}, nil)
	var rs []*recorder
	for range 300 {
		dial(t, s.addr)
		rs = append(rs, receive(t, recorders, "connection"))
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	for _, r := range rs {
		wantClosed(t, r, Shutdown, 1006)
	}
}

func TestShutdownReportsStuckHandler(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	s, _ := startRecorder(t, testOptions{cfg: Config{CloseTimeout: 50 * time.Millisecond}}, func(*Conn, []byte) {
		close(entered)
		<-release
	})
	c := dial(t, s.addr)
	c.send(opText, "x")
	receive(t, entered, "HandleMessage")
	if err := s.stop(); err == nil || !strings.Contains(err.Error(), "1 connections still busy") {
		t.Errorf("Run returned %v", err)
	}
	close(release)
	s.pool.wg.Wait()
}

func TestAcceptAfterShutdown(t *testing.T) {
	t.Parallel()
	p := NewPool(Config{Logger: quietLogger()})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.Run(ctx); err != nil {
		t.Fatal(err)
	}
	w := newResponse()
	if _, err := p.Accept(w, upgradeRequest(), AcceptOptions{}); !errors.Is(err, ErrPoolClosed) || w.Code != 503 {
		t.Errorf("Accept returned %v and answered %d", err, w.Code)
	}
}
