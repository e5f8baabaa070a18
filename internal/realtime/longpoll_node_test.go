package realtime

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trunkline/trunkline/internal/token"
)

// pollRoom is the application of these tests.
type pollRoom struct {
	node *pollNode
}

func (h *pollRoom) Join(ctx context.Context, c *Channel, _ Payload) (Payload, error) {
	if c.Topic() == "room:slow" {
		select {
		case <-time.After(h.node.slow):
		case <-ctx.Done():
		}
	}
	return EmptyObject, nil
}

func (h *pollRoom) HandleIn(_ context.Context, c *Channel, event string, p Payload) (Reply, error) {
	switch event {
	case "ping":
		return Reply{Status: "ok", Response: p}, nil
	case "bin":
		return Reply{Status: "ok", Response: Payload{Data: p.Data, Binary: true}}, nil
	default:
		return Reply{}, errors.New("no such event")
	}
}

func (h *pollRoom) HandleOut(context.Context, *Channel, string, Payload) error { return nil }
func (h *pollRoom) HandleInfo(context.Context, *Channel, any) error            { return nil }
func (h *pollRoom) Ended()                                                     {}
func (h *pollRoom) Intercepts() []string                                       { return nil }
func (h *pollRoom) Terminate(_ context.Context, _ *Channel, reason error) {
	h.node.ends <- reason
}

const (
	testWindow = time.Second
	testSecret = "0123456789abcdef0123456789abcdef"
)

// pollNode is one node with the socket paths /socket and /other.
type pollNode struct {
	engine *Engine
	mux    *http.ServeMux
	slow   time.Duration // how long a join of room:slow takes
	ends   chan error    // the reasons of channels that ended
}

func connectPolls(_ context.Context, r *ConnectRequest) (Session, error) {
	switch {
	case r.Param("refuse") == "raise":
		panic("refuse")
	case r.Param("refuse") != "":
		return Session{}, errors.New("refused")
	case r.Param("user") == "" && r.AuthToken == "":
		return Session{}, ErrRefused
	}
	return Session{ID: "user:" + r.Param("user")}, nil
}

func newPollNode(t *testing.T, bus Bus, opts MountOptions) *pollNode {
	t.Helper()
	signer, err := token.New(testSecret, token.Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := &pollNode{mux: http.NewServeMux(), slow: 5 * testWindow / 2, ends: make(chan error, 200)}
	n.engine = NewEngine(Config{Bus: bus, Signer: signer, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	opts.Connect = connectPolls
	if opts.LongPoll.Window == 0 {
		opts.LongPoll.Window = testWindow
	}
	routes := func() []Route {
		p, err := ParsePattern("room:*")
		if err != nil {
			t.Error(err)
		}
		return []Route{{Pattern: p, New: func() Handler { return &pollRoom{node: n} }}}
	}
	for _, path := range []string{"/socket", "/other"} {
		m, err := n.engine.NewMount(path, opts, routes)
		if err != nil {
			t.Fatal(err)
		}
		m.Register(n.mux)
	}
	t.Cleanup(func() {
		if err := n.engine.polls.close(); err != nil {
			t.Error(err)
		}
		n.engine.channels.Wait()
		n.engine.stop(ErrDraining)
		n.engine.runs.Close()
	})
	return n
}

// pollResult is one answer.
type pollResult struct {
	code     int
	header   http.Header
	body     string
	Status   int
	Token    string
	Messages []string
}

// do makes a request without a network, so that it can run in a bubble of
// synctest. header is alternating names and values.
func (n *pollNode) do(ctx context.Context, method, target, body string, header ...string) pollResult {
	r := httptest.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	n.mux.ServeHTTP(w, r)
	res := w.Result()
	raw, _ := io.ReadAll(res.Body)
	out := pollResult{code: res.StatusCode, header: res.Header, body: string(raw)}
	if strings.HasPrefix(out.body, "{") {
		if err := json.Unmarshal(raw, &out); err != nil {
			panic(err)
		}
	}
	return out
}

// pollClient is a client with a session.
type pollClient struct {
	t     *testing.T
	node  *pollNode // that its requests go to
	token string
}

func (n *pollNode) open(t *testing.T) *pollClient {
	t.Helper()
	res := n.do(t.Context(), "GET", "/socket/longpoll?user=1&vsn=2.0.0", "")
	if res.code != 200 || res.Status != 410 || res.Token == "" || res.body != `{"messages":[],"status":410,"token":"`+res.Token+`"}` {
		t.Fatalf("a new session got %d %s", res.code, res.body)
	}
	return &pollClient{t: t, node: n, token: res.Token}
}

func (c *pollClient) target() string {
	return "/socket/longpoll?vsn=2.0.0&token=" + url.QueryEscape(c.token)
}

func (c *pollClient) get() pollResult { return c.node.do(c.t.Context(), "GET", c.target(), "") }

func (c *pollClient) post(body string) pollResult {
	return c.node.do(c.t.Context(), "POST", c.target(), body, "content-type", "application/json")
}

func (c *pollClient) batch(lines ...string) pollResult {
	return c.node.do(c.t.Context(), "POST", c.target(), strings.Join(lines, "\n"), "content-type", "application/x-ndjson")
}

// join joins a topic and reads the reply.
func (c *pollClient) join(topic string) {
	c.t.Helper()
	c.want(c.post(`["1","1","`+topic+`","phx_join",{}]`), 200)
	c.want(c.get(), 200, `["1","1","`+topic+`","phx_reply",{"status":"ok","response":{}}]`)
}

// want compares an answer; messages as JSON, or else as they are.
func (c *pollClient) want(got pollResult, status int, messages ...string) {
	c.t.Helper()
	same := len(got.Messages) == len(messages)
	for i := 0; same && i < len(messages); i++ {
		same = messages[i] == got.Messages[i] || canonical(messages[i]) == canonical(got.Messages[i])
	}
	if got.code != 200 || got.Status != status || !same {
		c.t.Fatalf("got HTTP %d %s\nwant status %d and messages %q", got.code, got.body, status, messages)
	}
}

func canonical(text string) string {
	var v any
	if json.Unmarshal([]byte(text), &v) != nil {
		return text
	}
	out, _ := json.Marshal(v)
	return string(out)
}

// wantTook checks a duration in a bubble, where it is exact.
func wantTook(t *testing.T, start time.Time, want time.Duration) {
	t.Helper()
	if got := time.Since(start); got != want {
		t.Fatalf("took %v, want %v", got, want)
	}
}

func (n *pollNode) wantEnd(t *testing.T, want error) {
	t.Helper()
	if got := <-n.ends; !errors.Is(got, want) || got.Error() != want.Error() {
		t.Fatalf("the channel ended with %v, want %v", got, want)
	}
}

// pollNet joins nodes in memory. drop, when set, loses messages.
type pollNet struct {
	mu     sync.Mutex
	nodes  map[string]*Engine
	drop   func(from, to string, m longPollMessage) bool
	log    []longPollOp
	queue  chan func()
	closed chan struct{}
}

func newPollNet(t *testing.T) *pollNet {
	net := &pollNet{nodes: make(map[string]*Engine), queue: make(chan func(), 1000), closed: make(chan struct{})}
	go func() {
		defer close(net.closed)
		for deliver := range net.queue {
			deliver()
		}
	}()
	t.Cleanup(func() {
		close(net.queue)
		<-net.closed
	})
	return net
}

// pollBus is one node's end of a pollNet.
type pollBus struct {
	net  *pollNet
	name string
}

func (b pollBus) Node() string { return b.name }

func (b pollBus) Publish(kind byte, topic string, body []byte) error {
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	for name, e := range b.net.nodes {
		if name != b.name && kind == KindBroadcast {
			b.net.queue <- func() { e.HandleBus(topic, body) }
		}
	}
	return nil
}

func (b pollBus) PublishTo(node string, kind byte, topic string, body []byte) error {
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	e := b.net.nodes[node]
	if e == nil || kind != KindLongPoll {
		return nil
	}
	m, err := parseLongPollMessage(body)
	if err != nil {
		return err
	}
	if b.net.drop != nil && b.net.drop(b.name, node, m) {
		return nil
	}
	b.net.log = append(b.net.log, m.op)
	b.net.queue <- func() { e.HandleLongPollBus(b.name, topic, body) }
	return nil
}

func (net *pollNet) node(t *testing.T, name string, opts MountOptions) *pollNode {
	n := newPollNode(t, pollBus{net, name}, opts)
	net.mu.Lock()
	net.nodes[name] = n.engine
	net.mu.Unlock()
	return n
}

func (net *pollNet) lose(drop func(from, to string, m longPollMessage) bool) {
	net.mu.Lock()
	defer net.mu.Unlock()
	net.drop = drop
}
