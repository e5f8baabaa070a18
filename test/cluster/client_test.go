package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

const (
	heartbeatTopic = "phoenix"

	// inboxFrames may wait for the test; beyond it the server feels that the
	// client reads no more.
	inboxFrames = 1 << 14
)

var (
	errNothing = errors.New("nothing came")
	errEnded   = errors.New("the connection has ended")
)

// A client is a Phoenix client of version 2. One goroutine may receive.
type client struct {
	ws    *websocket.Conn
	inbox chan frame
	ended chan struct{}
	err   error // why it ended; read after ended
	kept  []frame

	mu       sync.Mutex
	lastRef  int
	joinRefs map[string]string // by topic
}

// connect opens a socket to the node: anonymous on the conformance application,
// as a user elsewhere.
func connect(t testing.TB, n *node) *client {
	t.Helper()
	if n.program == conformance {
		return dial(t, n, "/anon/websocket?vsn=2.0.0")
	}
	return connectUser(t, n, userToken(t, "someone"))
}

func connectUser(t testing.TB, n *node, token string) *client {
	t.Helper()
	return dial(t, n, "/socket/websocket?vsn=2.0.0&token="+url.QueryEscape(token))
}

// dial opens a WebSocket. It is closed at the end of the test.
func dial(t testing.TB, n *node, path string) *client {
	t.Helper()
	ws := dialOnly(t, n, path)
	c := &client{ws: ws, inbox: make(chan frame, inboxFrames), ended: make(chan struct{}), joinRefs: map[string]string{}}
	ctx, stop := context.WithCancel(context.Background())
	go c.read(ctx)
	t.Cleanup(func() {
		_ = ws.CloseNow() // it may have ended before
		stop()
		<-c.ended
	})
	return c
}

// dialOnly opens a WebSocket that nobody reads.
func dialOnly(t testing.TB, n *node, path string) *websocket.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws://"+n.address+path, &websocket.DialOptions{HTTPClient: httpClient()})
	if err != nil {
		t.Fatalf("dial %s: %v", path, err)
	}
	ws.SetReadLimit(-1)
	return ws
}

func (c *client) read(ctx context.Context) {
	defer close(c.ended)
	for {
		kind, data, err := c.ws.Read(ctx)
		if err != nil {
			c.err = err
			return
		}
		f := frame{data: data, binary: kind == websocket.MessageBinary, at: time.Now()}
		if f.isPresence() {
			continue
		}
		select {
		case c.inbox <- f:
		case <-ctx.Done():
			c.err = ctx.Err()
			return
		}
	}
}

// next returns the next frame, errNothing after the limit, or errEnded.
func (c *client) next(limit time.Duration) (frame, error) {
	if len(c.kept) > 0 {
		f := c.kept[0]
		c.kept = c.kept[1:]
		return f, nil
	}
	return c.arrival(limit)
}

func (c *client) arrival(limit time.Duration) (frame, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case f := <-c.inbox:
		return f, nil
	case <-timer.C:
		return frame{}, fmt.Errorf("%w within %v", errNothing, limit)
	case <-c.ended:
	}
	select {
	case f := <-c.inbox: // what came before the end
		return f, nil
	default:
		return frame{}, fmt.Errorf("%w: %w", errEnded, c.err)
	}
}

// nextMessage is next, taken apart.
func (c *client) nextMessage(limit time.Duration) (message, error) {
	f, err := c.next(limit)
	if err != nil {
		return message{}, err
	}
	return f.decode()
}

// push sends a message and returns its ref.
func (c *client) push(topic, event string, payload any) (ref string, err error) {
	joinRef, ref := c.refs(topic, event)
	data, err := encode(joinRef, ref, topic, event, payload)
	if err != nil {
		return "", err
	}
	return ref, c.write(websocket.MessageText, data)
}

func (c *client) pushBinary(topic, event string, data []byte) error {
	joinRef, ref := c.refs(topic, event)
	return c.write(websocket.MessageBinary, encodeBinary(joinRef, ref, topic, event, data))
}

func (c *client) refs(topic, event string) (joinRef, ref string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastRef++
	ref = strconv.Itoa(c.lastRef)
	if event == "phx_join" {
		c.joinRefs[topic] = ref
	}
	return c.joinRefs[topic], ref
}

func (c *client) write(kind websocket.MessageType, data []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return c.ws.Write(ctx, kind, data)
}

// call pushes and waits for the reply. Frames that come before it are kept for
// next.
func (c *client) call(topic, event string, payload any) (reply, error) {
	ref, err := c.push(topic, event, payload)
	if err != nil {
		return reply{}, err
	}
	deadline := time.Now().Add(patience)
	for {
		f, err := c.arrival(time.Until(deadline))
		if err != nil {
			return reply{}, fmt.Errorf("reply to %s on %s: %w", event, topic, err)
		}
		if m, err := f.decode(); err == nil && m.event == "phx_reply" && m.ref == ref {
			var r reply
			return r, json.Unmarshal(m.payload, &r)
		}
		c.kept = append(c.kept, f)
	}
}

// join joins a topic, which must be answered ok.
func (c *client) join(t testing.TB, topic string) *client {
	t.Helper()
	if r, err := c.call(topic, "phx_join", object{}); err != nil || r.Status != "ok" {
		t.Fatalf("join %s: %+v, %v", topic, r, err)
	}
	return c
}

type object map[string]any

// heartbeat waits for the answer.
func (c *client) heartbeat() error {
	r, err := c.call(heartbeatTopic, "heartbeat", object{})
	if err == nil && r.Status != "ok" {
		return fmt.Errorf("heartbeat answered with %q", r.Status)
	}
	return err
}

// mustPush is push where a failure ends the test.
func (c *client) mustPush(t testing.TB, topic, event string, payload any) {
	t.Helper()
	if _, err := c.push(topic, event, payload); err != nil {
		t.Fatalf("push %s on %s: %v", event, topic, err)
	}
}

// expect waits for a message, which must be this event, and returns it.
func (c *client) expect(t testing.TB, topic, event string) message {
	t.Helper()
	m, err := c.nextMessage(patience)
	if err != nil || m.topic != topic || m.event != event {
		t.Fatalf("got %+v, %v; want %s on %s", m, err, event, topic)
	}
	return m
}

// undisturbed checks that nothing came and that the connection still works.
func (c *client) undisturbed(t testing.TB) {
	t.Helper()
	if err := c.heartbeat(); err != nil {
		t.Errorf("the connection does not work any more: %v", err)
	}
	for _, f := range c.kept {
		t.Errorf("got %s", f)
	}
}

// codeCut stands for a connection that ended without a close frame.
const codeCut websocket.StatusCode = -1

// closeCode waits for the end of the connection.
func (c *client) closeCode(t testing.TB, limit time.Duration) websocket.StatusCode {
	t.Helper()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-c.ended:
		return websocket.CloseStatus(c.err)
	case <-timer.C:
		t.Fatalf("the connection is still open after %v", limit)
		return 0
	}
}

// A sleeper is a member of a topic that does not read.
type sleeper struct{ ws *websocket.Conn }

func connectWithoutReading(t testing.TB, n *node, topic string) *sleeper {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s := &sleeper{dialOnly(t, n, "/anon/websocket?vsn=2.0.0")}
	t.Cleanup(func() { _ = s.ws.CloseNow() })
	join, err := encode("1", "1", topic, "phx_join", object{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ws.Write(ctx, websocket.MessageText, join); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.ws.Read(ctx); err != nil { // the reply
		t.Fatal(err)
	}
	return s
}

// drain reads at last what has come, until the end of the connection, which must
// be without a close frame.
func (s *sleeper) drain(t testing.TB) (messages int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		_, _, err := s.ws.Read(ctx)
		if err == nil {
			messages++
			continue
		}
		if ctx.Err() != nil || websocket.CloseStatus(err) != codeCut {
			t.Errorf("the connection ended with %v, want no close frame", err)
		}
		return messages
	}
}
