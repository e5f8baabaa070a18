package trunkline_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/trunkline/trunkline"
	"github.com/trunkline/trunkline/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const exampleTimeout = time.Minute

// exampleDB is what pgtest needs of a test, for examples, which have none.
type exampleDB struct {
	testing.TB
	cleanups []func()
}

func (*exampleDB) Helper()                  {}
func (*exampleDB) Context() context.Context { return context.Background() }
func (*exampleDB) Fatal(args ...any)        { panic(fmt.Sprint(args...)) }
func (*exampleDB) Error(args ...any)        { panic(fmt.Sprint(args...)) }
func (e *exampleDB) Cleanup(f func())       { e.cleanups = append(e.cleanups, f) }

// database returns the URL of a new database, and what drops it.
func database() (url string, drop func()) {
	var e exampleDB
	url = pgtest.URL(&e)
	return url, func() {
		for _, f := range e.cleanups {
			f()
		}
	}
}

// newServer is a server whose clients name themselves by the parameter user.
func newServer(databaseURL string) *trunkline.Server {
	srv, err := trunkline.New(trunkline.Config{
		DatabaseURL:   databaseURL,
		SecretKeyBase: "an example's secret, twenty bytes at least",
		Logger:        slog.New(slog.DiscardHandler),
	})
	if err != nil {
		panic(err)
	}
	srv.Socket("/socket", anySocket)
	return srv
}

// anySocket takes every client by the name that it gives.
var anySocket = trunkline.SocketOptions{
	Connect: func(_ context.Context, r *trunkline.ConnectRequest) (trunkline.Session, error) {
		user := r.Param("user")
		return trunkline.Session{ID: "user_socket:" + user, Assigns: user}, nil
	},
}

// start runs the server until stop. url is where clients find it.
func start(srv *trunkline.Server) (url string, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	web := httptest.NewServer(srv)
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	for deadline := time.Now().Add(exampleTimeout); srv.Ready(ctx) != nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			panic(srv.Ready(ctx))
		}
	}
	return web.URL, func() {
		cancel()
		if err := <-ended; err != nil {
			panic(err)
		}
		web.Close()
	}
}

// run is start with a database of its own and one topic pattern.
func run(pattern string, newChannel func() trunkline.Channel) (url string, stop func()) {
	databaseURL, drop := database()
	srv := newServer(databaseURL)
	srv.Channel(pattern, newChannel)
	url, end := start(srv)
	return url, func() {
		end()
		drop()
	}
}

// client is a Phoenix client of few words.
type client struct{ conn *websocket.Conn }

func connect(url, user string) client {
	ctx, cancel := context.WithTimeout(context.Background(), exampleTimeout)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, url+"/socket/websocket?vsn=2.0.0&user="+user, nil)
	if err != nil {
		panic(err)
	}
	return client{conn}
}

// join joins a topic and waits for the answer.
func (c client) join(topic string) {
	c.send(`["1","1","` + topic + `","phx_join",{}]`)
	if answer := c.receive(); !strings.Contains(answer, `"status":"ok"`) {
		panic(answer)
	}
}

// send sends one frame: join_ref, ref, topic, event and payload.
func (c client) send(frame string) {
	ctx, cancel := context.WithTimeout(context.Background(), exampleTimeout)
	defer cancel()
	if err := c.conn.Write(ctx, websocket.MessageText, []byte(frame)); err != nil {
		panic(err)
	}
}

// receive waits for the next frame.
func (c client) receive() string {
	ctx, cancel := context.WithTimeout(context.Background(), exampleTimeout)
	defer cancel()
	_, frame, err := c.conn.Read(ctx)
	if err != nil {
		panic(err)
	}
	return string(frame)
}

// next is the event and the payload of the next frame.
func (c client) next() (event string, payload json.RawMessage) {
	var joinRef, ref, topic any
	frame := []any{&joinRef, &ref, &topic, &event, &payload}
	if err := json.Unmarshal([]byte(c.receive()), &frame); err != nil {
		panic(err)
	}
	return event, payload
}

func (c client) close() { _ = c.conn.CloseNow() }
