package realtime

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/trunkline/trunkline/internal/token"
)

// realClients runs an engine behind an HTTP server. connect makes a client over
// a real connection, joined to topics.
func realClients(t *testing.T, newHandler func() Handler) (e *Engine, connect func(topics ...string) *realClient) {
	t.Helper()
	signer, err := token.New("0123456789abcdef0123456789abcdef", token.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e = NewEngine(Config{Signer: signer})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- e.Run(ctx) }()
	all, err := ParsePattern("*")
	if err != nil {
		t.Fatal(err)
	}
	m, err := e.NewMount("/socket", MountOptions{Connect: func(context.Context, *ConnectRequest) (Session, error) {
		return Session{}, nil
	}}, func() []Route { return []Route{{Pattern: all, New: newHandler}} })
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	m.Register(mux)
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		server.Close()
	})
	return e, func(topics ...string) *realClient {
		t.Helper()
		conn, _, err := websocket.Dial(t.Context(), strings.Replace(server.URL, "http", "ws", 1)+"/socket/websocket?vsn=2.0.0", nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.CloseNow() })
		c := &realClient{t, conn}
		for _, topic := range topics {
			c.send(fmt.Sprintf(`["%s","0","%s","phx_join",{}]`, topic, topic))
			c.read()
		}
		return c
	}
}

// relay broadcasts each push to a large topic, tells a small one, and replies.
type relay struct{ fakeHandler }

func (*relay) HandleIn(_ context.Context, c *Channel, event string, p Payload) (Reply, error) {
	e := c.Socket().engine
	if event == "echo" {
		return Reply{}, e.Broadcast("small", "echoed", p)
	}
	if err := e.Broadcast("large", "large", p); err != nil {
		return Reply{}, err
	}
	return Reply{Status: "ok", Response: p}, e.Broadcast("small", "small", p)
}

// A realClient has a real connection.
type realClient struct {
	t    *testing.T
	conn *websocket.Conn
}

func (c *realClient) send(frame string) {
	if err := c.conn.Write(c.t.Context(), websocket.MessageText, []byte(frame)); err != nil {
		c.t.Error(err)
	}
}

// read returns an event, "reply" for one, and its number.
func (c *realClient) read() (event string, n int) {
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	_, data, err := c.conn.Read(ctx)
	if err != nil {
		c.t.Error(err)
		return "", 0
	}
	var frame [5]json.RawMessage
	var body struct {
		N        int
		Response struct{ N int }
	}
	if err := json.Unmarshal(data, &frame); err != nil {
		c.t.Error(err)
	}
	if err := json.Unmarshal(frame[4], &body); err != nil {
		c.t.Error(err)
	}
	event = strings.Trim(string(frame[3]), `"`)
	if event == "phx_reply" {
		return "reply", body.Response.N
	}
	return event, body.N
}

// A broadcast to a large topic comes before whatever its broadcaster sends
// afterwards, and before what others send who have seen that.
func TestOrderAcrossTopics(t *testing.T) {
	t.Parallel()
	const rounds, inFlight, inBoth = 150, 4, 5
	_, connect := realClients(t, func() Handler { return &relay{} })
	var crowd, both []*realClient
	for range chunkSize {
		crowd = append(crowd, connect("large"))
	}
	for range inBoth {
		both = append(both, connect("large", "small"))
	}
	for range chunkSize {
		crowd = append(crowd, connect("large"))
	}
	push := func(event string, n int) {
		both[0].send(fmt.Sprintf(`["small","%d","small","%s",{"n":%d}]`, n, event, n))
	}

	var done sync.WaitGroup
	for _, c := range crowd {
		done.Go(func() {
			for n := range rounds {
				if event, got := c.read(); event != "large" || got != n {
					t.Errorf("got %s %d, want large %d", event, got, n)
					return
				}
			}
		})
	}
	for i, c := range both {
		done.Go(func() {
			next := map[string]int{}
			for next["large"] < rounds || next["small"] < rounds || next["echoed"] < rounds || i == 0 && next["reply"] < rounds {
				event, n := c.read()
				if t.Failed() {
					return
				}
				if n != next[event] || event != "large" && n >= next["large"] || event == "reply" && n >= next["small"] {
					t.Errorf("client %d got %s %d after %v", i, event, n, next)
					return
				}
				next[event]++
				if i == 1 && event == "small" { // somebody else reacts
					c.send(fmt.Sprintf(`["small","e%d","small","echo",{"n":%d}]`, n, n))
				}
				if i == 0 && event == "large" && n+inFlight < rounds {
					push("go", n+inFlight)
				}
			}
		})
	}
	for n := range inFlight {
		push("go", n)
	}
	done.Wait()
}

// Broadcasts of another node that came together go to a client in one write.
func TestBusWritesTogether(t *testing.T) {
	t.Parallel()
	const count = 20
	e, connect := realClients(t, plain)
	clients := []*realClient{connect("room"), connect("room", "other")}
	before := e.pool.Stats().WriteCalls
	for n := range count {
		e.HandleBus("room", BroadcastBody("m", Payload{Data: fmt.Appendf(nil, `{"n":%d}`, n)}))
	}
	e.HandleBus("other", BroadcastBody("m", Payload{Data: fmt.Appendf(nil, `{"n":%d}`, count)}))
	e.FlushBus()
	for i, c := range clients {
		for n := range count + i {
			if event, got := c.read(); event != "m" || got != n {
				t.Fatalf("got %s %d, want m %d", event, got, n)
			}
		}
	}
	if writes := e.pool.Stats().WriteCalls - before; writes != uint64(len(clients)) {
		t.Errorf("%d writes", writes)
	}
}

// More clients than FlushBus writes to by itself.
func TestBusToManyClients(t *testing.T) {
	t.Parallel()
	e, connect := realClients(t, plain)
	var clients []*realClient
	for range chunkSize {
		clients = append(clients, connect("room"))
	}
	e.HandleBus("room", BroadcastBody("m", Payload{Data: []byte(`{"n":7}`)}))
	e.FlushBus()
	for _, c := range clients {
		if event, got := c.read(); event != "m" || got != 7 {
			t.Fatalf("got %s %d", event, got)
		}
	}
}

// LocalWrite leaves nothing to be written.
func TestLocalWrite(t *testing.T) {
	t.Parallel()
	e, connect := realClients(t, plain)
	var clients []*realClient
	for range chunkSize + 1 {
		clients = append(clients, connect("room"))
	}
	for n := range 3 {
		before := e.pool.Stats().WriteCalls
		if err := e.LocalWrite("room", "m", Payload{Data: fmt.Appendf(nil, `{"n":%d}`, n)}); err != nil {
			t.Fatal(err)
		}
		if writes := e.pool.Stats().WriteCalls - before; writes != uint64(len(clients)) {
			t.Errorf("%d writes", writes)
		}
	}
	for _, c := range clients {
		for n := range 3 {
			if event, got := c.read(); event != "m" || got != n {
				t.Fatalf("got %s %d", event, got)
			}
		}
	}
}
