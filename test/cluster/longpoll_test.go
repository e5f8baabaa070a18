package cluster

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/trunkline/trunkline/internal/pgtest"
)

// goneLimit is how soon a poll is told that the node of its session has ended.
const goneLimit = 10 * time.Second

// A pollAnswer is what a long poll is answered with; the HTTP status is 200.
type pollAnswer struct {
	Status   int
	Token    string
	Messages []string
}

// poll asks a node for what a session has; without a token, for a session.
func poll(t testing.TB, n *node, token string) pollAnswer {
	t.Helper()
	return longPoll(t, n, http.MethodGet, token, nil)
}

// post sends a frame to a session through a node.
func post(t testing.TB, n *node, token, topic, event string, payload any) {
	t.Helper()
	body, err := encode("1", "1", topic, event, payload)
	if err != nil {
		t.Fatal(err)
	}
	if got := longPoll(t, n, http.MethodPost, token, body); got.Status != http.StatusOK {
		t.Fatalf("POST %s answered with status %d", body, got.Status)
	}
}

func longPoll(t testing.TB, n *node, method, token string, body []byte) pollAnswer {
	t.Helper()
	path := "/anon/longpoll?vsn=2.0.0&token=" + url.QueryEscape(token)
	status, text, err := n.do(t.Context(), method, path, body)
	var answer pollAnswer
	if err == nil {
		err = json.Unmarshal([]byte(text), &answer)
	}
	if err != nil || status != http.StatusOK {
		t.Fatalf("%s %s: %d %s %v", method, path, status, text, err)
	}
	return answer
}

// A load balancer leads the requests of one long-polling session to any node.
func TestLongPollThroughAnotherNode(t *testing.T) {
	t.Parallel()
	url := databaseURL(pgtest.EmptyURL(t))
	home, b, c := start(t, conformance, url), start(t, conformance, url), start(t, conformance, url)
	topic := "room:polled"
	onHome, onB := connect(t, home).join(t, topic), connect(t, b).join(t, topic)
	opened := poll(t, home, "")
	if opened.Status != http.StatusGone || opened.Token == "" {
		t.Fatalf("no session: %+v", opened)
	}
	token := opened.Token

	// next polls through one node after the other until there is a message.
	through := []*node{b, c, home}
	var waiting []string
	var took durations
	next := func(event string) message {
		t.Helper()
		for deadline := time.Now().Add(patience); len(waiting) == 0; {
			if time.Now().After(deadline) {
				t.Fatalf("no %s", event)
			}
			through = append(through[1:], through[0])
			got := poll(t, through[0], token)
			if got.Status != http.StatusOK && got.Status != http.StatusNoContent {
				t.Fatalf("poll: %+v", got)
			}
			waiting = got.Messages
		}
		m, err := frame{data: []byte(waiting[0])}.decode()
		waiting = waiting[1:]
		if err != nil || m.topic != topic || m.event != event {
			t.Fatalf("polled %+v, %v; want %s", m, err, event)
		}
		return m
	}
	began := time.Now()
	post(t, b, token, topic, "phx_join", object{})
	next("phx_reply")
	t.Logf("joined through another node after %v", time.Since(began))

	for n := range 20 {
		want := fmt.Sprintf(`{"n":%d}`, n)
		began := time.Now()
		switch n % 3 {
		case 0:
			onHome.mustPush(t, topic, "new_msg", object{"n": n})
		case 1:
			onB.mustPush(t, topic, "new_msg", object{"n": n})
		case 2:
			post(t, through[1], token, topic, "new_msg", object{"n": n})
		}
		for _, c := range []*client{onHome, onB} {
			if m := c.expect(t, topic, "new_msg"); string(m.payload) != want {
				t.Fatalf("a member got %s, want %s", m.payload, want)
			}
		}
		if m := next("new_msg"); string(m.payload) != want {
			t.Fatalf("polled %s, want %s", m.payload, want)
		}
		took = append(took, time.Since(began))
	}
	t.Logf("broadcast to poll: %v", took)

	// Its node is killed: another tells the client to begin anew.
	home.Kill()
	began = time.Now()
	again := poll(t, b, token)
	if again.Status != http.StatusGone || again.Token == "" || again.Token == token {
		t.Fatalf("a poll of a session on a dead node: %+v", again)
	}
	if d := time.Since(began); d > goneLimit {
		t.Errorf("the end of its node was told after %v", d)
	} else {
		t.Logf("the end of its node was told after %v", d)
	}
	token, through = again.Token, []*node{c, b}
	post(t, c, token, topic, "phx_join", object{})
	next("phx_reply")
}
