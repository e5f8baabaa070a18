package realtime

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/trunkline/trunkline/internal/sock"
	"github.com/trunkline/trunkline/internal/token"
	"github.com/trunkline/trunkline/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeHandler is a channel made of functions; nil ones do what is harmless.
type fakeHandler struct {
	join       func(ctx context.Context, c *Channel, p Payload) (Payload, error)
	in         func(ctx context.Context, c *Channel, event string, p Payload) (Reply, error)
	out        func(c *Channel, event string, p Payload) error
	info       func(c *Channel, msg any) error
	terminate  func(ctx context.Context, c *Channel, reason error)
	intercepts []string
}

func (h *fakeHandler) Join(ctx context.Context, c *Channel, p Payload) (Payload, error) {
	if h.join == nil {
		return EmptyObject, nil
	}
	return h.join(ctx, c, p)
}

func (h *fakeHandler) HandleIn(ctx context.Context, c *Channel, event string, p Payload) (Reply, error) {
	if h.in == nil {
		return Reply{Status: "ok", Response: p}, nil
	}
	return h.in(ctx, c, event, p)
}

func (h *fakeHandler) HandleOut(_ context.Context, c *Channel, event string, p Payload) error {
	return h.out(c, event, p)
}

func (h *fakeHandler) HandleInfo(_ context.Context, c *Channel, msg any) error {
	return h.info(c, msg)
}

func (h *fakeHandler) Terminate(ctx context.Context, c *Channel, reason error) {
	if h.terminate != nil {
		h.terminate(ctx, c, reason)
	}
}

func (h *fakeHandler) Ended() {}

func (h *fakeHandler) Intercepts() []string { return h.intercepts }

// recorder is a transport that keeps what is sent.
type recorder struct {
	mu     sync.Mutex
	frames []string
	code   int
	cut    bool
	onEnd  func()

	stalled atomic.Int64
	posted  int // frames that may wait for a batch
}

// sendOnce keeps a copy.
func (r *recorder) sendOnce(f *wire.Frame) (kept bool) {
	r.send(f, nil)
	return false
}

func (r *recorder) send(f *wire.Frame, batch *sock.Batch) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.code != 0 || r.cut {
		return false
	}
	if batch != nil {
		r.posted++
	}
	r.frames = append(r.frames, string(f.Payload()))
	return true
}

// waiting is what the test says: the bytes that the client has not taken.
func (r *recorder) waiting() int { return int(r.stalled.Load()) }

func (r *recorder) close(code int) {
	r.mu.Lock()
	first := r.code == 0 && !r.cut
	if first {
		r.code = code
	}
	r.mu.Unlock()
	if first {
		go r.onEnd()
	}
}

func (r *recorder) abort() {
	r.mu.Lock()
	r.cut = true
	r.mu.Unlock()
	go r.onEnd()
}

// client is one socket of a test.
type client struct {
	*Socket
	t        *testing.T
	recorder *recorder
}

// run starts an engine in a bubble of virtual time, gives it to f, and drains
// it.
func run(t *testing.T, cfg Config, f func(t *testing.T, e *Engine)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		signer, err := token.New("0123456789abcdef0123456789abcdef", token.Options{})
		if err != nil {
			t.Fatal(err)
		}
		cfg.Signer = signer
		e := NewEngine(cfg)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- e.Run(ctx) }()
		defer func() {
			stop()
			if err := <-ended; err != nil {
				t.Errorf("Run: %v", err)
			}
		}()
		f(t, e)
	})
}

// connect makes a socket whose topics all lead to newHandler.
func connect(t *testing.T, e *Engine, v wire.Version, id string, newHandler func() Handler) *client {
	t.Helper()
	all, err := ParsePattern("*")
	if err != nil {
		t.Fatal(err)
	}
	m, err := e.NewMount("/socket", MountOptions{Connect: func(context.Context, *ConnectRequest) (Session, error) {
		return Session{ID: id}, nil
	}}, func() []Route { return []Route{{Pattern: all, New: newHandler}} })
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.connect(httptest.NewRequest("GET", "/socket/websocket?vsn="+v.String(), nil), "")
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{onEnd: func() { s.terminate(ErrClosed) }}
	s.transport = r
	if err := e.addSocket(s); err != nil {
		t.Fatal(err)
	}
	return &client{Socket: s, t: t, recorder: r}
}

// send hands frames to the socket as its transport does.
func (c *client) send(frames ...string) {
	c.t.Helper()
	for _, f := range frames {
		if err := c.handleFrame([]byte(f), false); err != nil {
			c.t.Fatalf("frame %s: %v", f, err)
		}
	}
}

// got waits until nothing is left to do and takes what was sent so far.
func (c *client) got() []string {
	synctest.Wait()
	c.recorder.mu.Lock()
	defer c.recorder.mu.Unlock()
	frames := c.recorder.frames
	c.recorder.frames = nil
	return frames
}

// want compares what was sent with frames, as JSON.
func (c *client) want(frames ...string) {
	c.t.Helper()
	got := c.got()
	same := slices.EqualFunc(got, frames, func(a, b string) bool {
		var x, y any
		return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && reflect.DeepEqual(x, y)
	})
	if !same {
		c.t.Errorf("got frames\n%q\nwant\n%q", got, frames)
	}
}

func plain() Handler { return &fakeHandler{} }

// always makes every channel of a test share one handler value.
func always(h *fakeHandler) func() Handler { return func() Handler { return h } }
