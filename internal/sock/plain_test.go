package sock

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// tlsListener serves TLS with httptest's certificate.
func tlsListener(l net.Listener) net.Listener {
	s := httptest.NewTLSServer(nil)
	cert := s.TLS.Certificates[0]
	s.Close()
	return tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}})
}

func dialWith(t testing.TB, addr string, tlsOn bool) *testClient {
	t.Helper()
	if !tlsOn {
		return dial(t, addr)
	}
	nc, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	return upgrade(t, nc, nil)
}

func startTLS(t testing.TB, o testOptions) (*testServer, <-chan *recorder) {
	t.Helper()
	o.listener = tlsListener(smallBuffers(t))
	return startRecorder(t, o, func(c *Conn, data []byte) { c.Send(NewFrame(data, false)) })
}

func TestTLS(t *testing.T) {
	t.Parallel()
	s, recorders := startTLS(t, testOptions{})
	c := dialWith(t, s.addr, true)
	r := receive(t, recorders, "connection")
	for _, n := range []int{0, 1, 500, 512, 513, 5000, 300_000} {
		payload := strings.Repeat("x", n)
		c.send(opText, payload)
		c.want(opText, payload)
	}
	c.send(opPing, "abc")
	c.want(opPong, "abc")
	c.sendClose(4001, "")
	c.wantClose(4001)
	c.wantEOF()
	wantClosed(t, r, PeerClosed, 4001)

	c = dialWith(t, s.addr, true)
	r = receive(t, recorders, "connection")
	c.write(maskedFrame(0x81, make([]byte, 2<<20)))
	c.wantClose(1009)
	c.wantEOF()
	wantClosed(t, r, TooLarge, 1009)

	nc, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	upgrade(t, nc, maskedFrame(0x81, []byte("behind"))).want(opText, "behind")
	r = receive(t, recorders, "connection")
	_ = nc.NetConn().Close()
	wantClosed(t, r, Disconnected, 1006)
}

func TestTLSClientThatNeverReadsIsCut(t *testing.T) {
	t.Parallel()
	s, recorders := startTLS(t, testOptions{cfg: Config{QueueBytes: 10_000}})
	dialWith(t, s.addr, true)
	r := receive(t, recorders, "connection")
	frame := NewFrame(make([]byte, 1000), true)
	waitFor(t, "the bound to be exceeded", func() bool {
		for range 100 {
			if !r.conn.Send(frame) {
				return true
			}
		}
		return false
	})
	wantClosed(t, r, TooSlow, 1006)
	if st := s.pool.Stats(); st.SlowBytes != 1 {
		t.Errorf("stats %+v", st)
	}
}

// pipeListener serves net.Pipe connections, whose time synctest can fake.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case nc := <-l.conns:
		return nc, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (*pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (l *pipeListener) dial(t testing.TB) *testClient {
	client, server := net.Pipe()
	l.conns <- server
	return upgrade(t, client, nil)
}

// inBubble runs f with the default timeouts and faked time.
func inBubble(t *testing.T, f func(*testServer, *testClient, *recorder)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newPipeListener()
		s, recorders := startRecorder(t, testOptions{listener: l}, nil)
		c := l.dial(t)
		f(s, c, <-recorders)
		_ = c.nc.Close()
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
}

// within checks that a timeout came at its time or at the next sweep.
func within(t *testing.T, begin time.Time, timeout time.Duration) {
	t.Helper()
	if d := time.Since(begin); d < timeout || d > timeout+time.Second {
		t.Errorf("came after %v, want %v", d, timeout)
	}
}

func TestIdleTimeout(t *testing.T) {
	inBubble(t, func(s *testServer, c *testClient, r *recorder) {
		// What comes from the client resets the timer; what goes out does not.
		for _, op := range []byte{opText, opPing, opPong, opText} {
			time.Sleep(DefaultIdleTimeout - 2*time.Second)
			c.send(op, "")
			if op == opPing {
				c.want(opPong, "")
			}
			synctest.Wait()
		}
		begin := time.Now()
		go func() {
			time.Sleep(DefaultIdleTimeout / 2)
			r.conn.Send(NewFrame([]byte("out"), false))
		}()
		_ = c.nc.SetDeadline(time.Time{})
		if op, _, err := readFrame(c.br); op != opText || err != nil {
			t.Fatal(op, err)
		}
		if op, p, err := readFrame(c.br); op != opClose || string(p) != "\x03\xe8" || err != nil {
			t.Fatalf("got opcode %d, %q, %v; want close 1000 without a reason", op, p, err)
		}
		within(t, begin, DefaultIdleTimeout)
		synctest.Wait()
		wantClosed(t, r, IdleClosed, 1000)
		if st := s.pool.Stats(); st.IdleClosed != 1 {
			t.Errorf("stats %+v", st)
		}
	})
}

func TestStallTimeout(t *testing.T) {
	inBubble(t, func(s *testServer, _ *testClient, r *recorder) {
		begin := time.Now()
		r.conn.Send(NewFrame([]byte("nobody reads this"), false))
		var ce *CloseError
		if err := <-r.closed; !errors.As(err, &ce) || ce.Kind != TooSlow {
			t.Errorf("HandleClose got %v", err)
		}
		within(t, begin, DefaultStallTimeout)
		if st := s.pool.Stats(); st.SlowStall != 1 {
			t.Errorf("stats %+v", st)
		}
	})
}

func TestCloseTimeout(t *testing.T) {
	inBubble(t, func(_ *testServer, c *testClient, r *recorder) {
		begin := time.Now()
		r.conn.Close(1001, "")
		c.wantClose(1001)
		if _, _, err := c.next(); !errors.Is(err, io.EOF) {
			t.Errorf("client got %v", err)
		}
		within(t, begin, DefaultCloseTimeout)
	})
}

// A handler that takes longer than the idle timeout is no silent client.
func TestLongHandlerIsNotIdle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newPipeListener()
		s, recorders := startRecorder(t, testOptions{listener: l}, func(c *Conn, data []byte) {
			time.Sleep(3 * DefaultIdleTimeout)
			c.Send(NewFrame(data, false))
		})
		c := l.dial(t)
		c.send(opText, "slow")
		r := <-recorders
		_ = c.nc.SetDeadline(time.Time{})
		if op, p, err := readFrame(c.br); op != opText || string(p) != "slow" || err != nil {
			t.Errorf("got opcode %d, %q, %v", op, p, err)
		}
		r.conn.Abort()
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
}

// The same over TCP, with a mount's own timeout shorter than the pool's.
func TestIdleTimeoutOfAMount(t *testing.T) {
	t.Parallel()
	s, recorders := startRecorder(t, testOptions{accept: AcceptOptions{IdleTimeout: 300 * time.Millisecond}}, nil)
	begin := time.Now()
	c := dial(t, s.addr)
	c.wantClose(1000)
	if d := time.Since(begin); d < 300*time.Millisecond {
		t.Errorf("closed after %v", d)
	}
	wantClosed(t, receive(t, recorders, "connection"), IdleClosed, 1000)
	c.sendClose(1000, "")
	c.wantEOF()
}

func TestNoIdleTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newPipeListener()
		s, recorders := startRecorder(t, testOptions{listener: l, accept: AcceptOptions{IdleTimeout: -1}}, nil)
		l.dial(t)
		r := <-recorders
		time.Sleep(10 * DefaultIdleTimeout)
		if len(r.closed) != 0 {
			t.Error("closed without an idle timeout")
		}
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
}
