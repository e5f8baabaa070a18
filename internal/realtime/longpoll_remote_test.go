package realtime

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// cluster is a session on node a whose client's requests all go to node b.
func cluster(t *testing.T, opts MountOptions) (net *pollNet, a, b *pollNode, c *pollClient) {
	net = newPollNet(t)
	a, b = net.node(t, "a", opts), net.node(t, "b", opts)
	c = a.open(t)
	c.node = b
	return net, a, b, c
}

func TestLongPollOnAnotherNode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, a, b, c := cluster(t, MountOptions{})
		c.join("room:1")
		start := time.Now()
		c.want(c.get(), 204)
		wantTook(t, start, testWindow)

		start = time.Now()
		time.AfterFunc(testWindow/4, func() {
			if err := b.engine.Broadcast("room:1", "news", EmptyObject); err != nil {
				t.Error(err)
			}
		})
		c.want(c.get(), 200, `[null,null,"room:1","news",{}]`)
		wantTook(t, start, testWindow/4)

		// ping, a binary frame, and a bad line
		res := c.batch(`["1","2","room:1","ping",{}]`, `AAEBBgMxNHJvb206MWJpbmFi`, `!`)
		if res.code != 500 {
			t.Fatalf("a bad line got %d %s", res.code, res.body)
		}
		synctest.Wait()
		c.want(c.get(), 200, `["1","2","room:1","phx_reply",{"status":"ok","response":{}}]`, "\x01\x01\x01\x06\x0214room:1okab")
		c.want(c.batch(`AAEBBgMxNHJvb206MWJpbv/+`), 200)
		synctest.Wait()
		if res := c.get(); res.code != 500 {
			t.Fatalf("a message that is not UTF-8 got %d %s", res.code, res.body)
		}

		start = time.Now()
		c.want(c.post(`["1","1","room:slow","phx_join",{}]`), 408)
		wantTook(t, start, testWindow)
		start = time.Now()
		c.want(c.post(`{"no":`), 408)
		wantTook(t, start, testWindow)
		a.wantEnd(t, ErrClosed)
		start = time.Now()
		c.want(c.post(`["1","2","room:1","ping",{}]`), 410)
		wantTook(t, start, 2*time.Second)
	})
}

func TestLongPollDisconnectOnAnotherNode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, a, b, c := cluster(t, MountOptions{})
		c.join("room:1")
		start := time.Now()
		time.AfterFunc(testWindow/2, func() {
			if err := b.engine.Disconnect("user:1"); err != nil {
				t.Error(err)
			}
		})
		c.want(c.get(), 410)
		wantTook(t, start, testWindow/2)
		a.wantEnd(t, ErrDisconnected)
	})
}

// A client of a node that is gone gets 410 for a POST and a new session, on the
// node that it reached, for a poll.
func TestLongPollNodeIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		net, _, b, c := cluster(t, MountOptions{})
		c.join("room:1")
		net.lose(func(from, to string, _ longPollMessage) bool { return from == "a" || to == "a" })
		start := time.Now()
		c.want(c.post(`["1","2","room:1","ping",{}]`), 410)
		wantTook(t, start, 2*time.Second)
		start = time.Now()
		res := b.do(t.Context(), "GET", "/socket/longpoll?user=1&vsn=2.0.0", "", longPollHeader, c.token)
		c.want(res, 410)
		wantTook(t, start, 2*time.Second)
		start = time.Now()
		c.token = res.Token
		c.want(c.post(`[null,"1","phoenix","heartbeat",{}]`), 200)
		wantTook(t, start, 0)
	})
}

// A node without a bus knows no other.
func TestLongPollWithoutABus(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := newPollNode(t, nil, MountOptions{}), newPollNode(t, nil, MountOptions{})
		c := a.open(t)
		c.node = b
		start := time.Now()
		c.want(c.post(`[null,"1","phoenix","heartbeat",{}]`), 410)
		wantTook(t, start, 2*time.Second)
	})
}

// Messages that were on their way when the client left are returned, and come
// with its next poll.
func TestLongPollMessagesOnTheirWayAreReturned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		net, a, b, c := cluster(t, MountOptions{})
		c.join("room:1")
		net.lose(func(_, _ string, m longPollMessage) bool { return m.op == opWithdraw })
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			b.do(ctx, "GET", c.target(), "")
		}()
		synctest.Wait()
		cancel()
		<-gone // and its session does not know
		net.log = nil
		for _, event := range []string{"one", "two"} {
			if err := a.engine.Broadcast("room:1", event, EmptyObject); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if got := string(opBytes(net.log)); got != "mn" {
			t.Fatalf("the bus carried %q, want the messages and their return", got)
		}
		c.want(c.get(), 200, `[null,null,"room:1","one",{}]`, `[null,null,"room:1","two",{}]`)
	})
}

// brokenWriter is a connection that fails when the answer is written.
type brokenWriter struct{ *httptest.ResponseRecorder }

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestLongPollFailedAnswersComeAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, a, b, c := cluster(t, MountOptions{})
		c.join("room:1")
		for _, node := range []*pollNode{a, b} {
			if err := a.engine.Broadcast("room:1", "news", EmptyObject); err != nil {
				t.Fatal(err)
			}
			node.mux.ServeHTTP(brokenWriter{httptest.NewRecorder()}, httptest.NewRequestWithContext(t.Context(), "GET", c.target(), nil))
			synctest.Wait()
			c.want(c.get(), 200, `[null,null,"room:1","news",{}]`)
		}
	})
}

// A poll takes what fits in one message of the bus, and the next one the rest;
// a POST is split likewise.
func TestLongPollLargeAnswersAndPosts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		net, _, _, c := cluster(t, MountOptions{})
		c.join("room:1")
		big := strings.Repeat("x", 400<<10)
		net.log = nil
		c.want(c.batch(`["1","2","room:1","ping",["`+big+`"]]`, `["1","3","room:1","ping",{}]`, `["1","4","room:1","ping",["`+big+`"]]`), 200)
		synctest.Wait()
		if got := string(opBytes(net.log)); got != "psps" {
			t.Fatalf("the POST took the messages %s, want psps", got)
		}
		c.want(c.get(), 200,
			`["1","2","room:1","phx_reply",{"status":"ok","response":["`+big+`"]}]`,
			`["1","3","room:1","phx_reply",{"status":"ok","response":{}}]`)
		c.want(c.get(), 200,
			`["1","4","room:1","phx_reply",{"status":"ok","response":["`+big+`"]}]`)
	})
}

func opBytes(ops []longPollOp) []byte {
	out := make([]byte, len(ops))
	for i, op := range ops {
		out[i] = byte(op)
	}
	return out
}

// The node that a client reached shuts down: its poll ends without an error,
// and the session, on the other node, lives on.
func TestLongPollDrainOfTheNodeBetween(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		net, a, b, c := cluster(t, MountOptions{})
		c.join("room:1")
		start := time.Now()
		waiting := make(chan pollResult)
		go func() { waiting <- c.get() }()
		synctest.Wait()
		if err := b.engine.polls.close(); err != nil {
			t.Fatal(err)
		}
		if got := net.log[len(net.log)-1]; got != opWithdraw {
			t.Fatalf("node b took its leave with %q", got)
		}
		c.want(<-waiting, 204)
		wantTook(t, start, 0)
		c.node = a
		synctest.Wait() // node a knows
		if err := a.engine.Broadcast("room:1", "news", EmptyObject); err != nil {
			t.Fatal(err)
		}
		c.want(c.get(), 200, `[null,null,"room:1","news",{}]`)
	})
}

// The session's node shuts down while another one waits for it.
func TestLongPollDrainOfTheSessionsNode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, a, _, c := cluster(t, MountOptions{})
		c.join("room:1")
		start := time.Now()
		waiting := make(chan pollResult)
		go func() { waiting <- c.get() }()
		synctest.Wait()
		if err := a.engine.polls.close(); err != nil {
			t.Fatal(err)
		}
		a.wantEnd(t, ErrDraining)
		c.want(<-waiting, 410)
		wantTook(t, start, 0)
	})
}
