package sock

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// eventLimit bounds every wait for something that must happen.
const eventLimit = 10 * time.Second

// testServer is a Pool behind a real HTTP server.
type testServer struct {
	t    testing.TB
	pool *Pool
	addr string
	stop func() error // ends Run and waits for it
}

type testOptions struct {
	cfg      Config
	accept   AcceptOptions
	listener net.Listener          // nil: TCP on the loopback
	handler  func(c *Conn) Handler // nil: echo
}

func quietLogger() *slog.Logger { return slog.New(slog.DiscardHandler) }

func startServer(t testing.TB, o testOptions) *testServer {
	t.Helper()
	if o.cfg.Logger == nil {
		o.cfg.Logger = quietLogger()
	}
	if o.handler == nil {
		o.handler = func(c *Conn) Handler { return &echo{conn: c} }
	}
	if o.listener == nil {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		o.listener = l
	}
	s := &testServer{t: t, pool: NewPool(o.cfg), addr: o.listener.Addr().String()}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, ok := CheckUpgrade(r); !ok {
			http.Error(w, body, http.StatusBadRequest)
			return
		}
		c, err := s.pool.Accept(w, r, o.accept)
		if err != nil {
			return
		}
		c.Start(o.handler(c))
	}), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(o.listener) }()
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- s.pool.Run(ctx) }()
	var stopped atomic.Bool
	s.stop = func() error {
		if stopped.Swap(true) {
			return nil
		}
		cancel()
		err := <-ran
		_ = srv.Close()
		if serr := <-served; !errors.Is(serr, http.ErrServerClosed) {
			t.Error(serr)
		}
		return err
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// echo sends each message back.
type echo struct{ conn *Conn }

func (e *echo) HandleMessage(data []byte, binary bool) { e.conn.Send(NewFrame(data, binary)) }
func (e *echo) HandleClose(error)                      {}

// recorder passes on what its connection does.
type recorder struct {
	conn      *Conn
	messages  chan string
	closed    chan error
	onMessage func(c *Conn, data []byte)
}

func newRecorder() *recorder {
	return &recorder{messages: make(chan string, 1000), closed: make(chan error, 2)}
}

func (r *recorder) HandleMessage(data []byte, _ bool) {
	if r.onMessage != nil {
		r.onMessage(r.conn, data)
	}
	r.messages <- string(data)
}

func (r *recorder) HandleClose(err error) { r.closed <- err }

// startRecorder serves one recorder per connection, which come out of the
// channel in the order of connecting.
func startRecorder(t testing.TB, o testOptions, onMessage func(*Conn, []byte)) (*testServer, <-chan *recorder) {
	t.Helper()
	recorders := make(chan *recorder, 100)
	o.handler = func(c *Conn) Handler {
		r := newRecorder()
		r.conn, r.onMessage = c, onMessage
		recorders <- r
		return r
	}
	return startServer(t, o), recorders
}

// receive waits for the next value of ch.
func receive[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(eventLimit):
		t.Fatalf("no %s within %v", what, eventLimit)
		panic("unreachable")
	}
}

func wantClosed(t testing.TB, r *recorder, kind CloseKind, code int) {
	t.Helper()
	err := receive(t, r.closed, "HandleClose")
	var ce *CloseError
	if !errors.As(err, &ce) || ce.Kind != kind || ce.Code != code {
		t.Fatalf("HandleClose got %v, want kind %v and code %d", err, kind, code)
	}
}
