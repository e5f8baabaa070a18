package trunkline_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riverqueue/river"

	"github.com/trunkline/trunkline"
	"github.com/trunkline/trunkline/internal/pgtest"
)

type leftArgs struct{ trunkline.PresenceLeft }

func (leftArgs) Kind() string { return "left" }

// leftWorker remembers who left.
type leftWorker struct {
	river.WorkerDefaults[leftArgs]
	mu   sync.Mutex
	left []string
}

func (w *leftWorker) Work(_ context.Context, job *river.Job[leftArgs]) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left = append(w.left, job.Args.Key)
	if job.Args.OnlineAt.After(job.Args.LeftAt) {
		return errors.New("left before it came")
	}
	return nil
}

func (w *leftWorker) seen() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.left)
}

// trackedRoom tracks its client by its id.
type trackedRoom struct{}

func (trackedRoom) Join(_ context.Context, s *trunkline.Socket, _ trunkline.Payload) (any, error) {
	return nil, s.Send("track")
}

func (trackedRoom) HandleInfo(_ context.Context, s *trunkline.Socket, _ any) error {
	_, err := s.Track(s.ID(), map[string]any{})
	return err
}

// Each departure is one job, in the program as a whole: a tab of two is none, a
// node that stops cleanly is one for each who was only there.
func TestPresenceLeft(t *testing.T) {
	t.Parallel()
	database := pgtest.URL(t)
	w := &leftWorker{}
	node := func() (url string, stop func()) {
		srv := newServer(database)
		srv.Jobs(trunkline.JobsOptions{Workers: func(workers *river.Workers) { river.AddWorker(workers, w) }})
		srv.Presence("room:*", trunkline.PresenceOptions{Left: func(l trunkline.PresenceLeft) river.JobArgs {
			if l.Key == "user_socket:robot" {
				return nil
			}
			return leftArgs{l}
		}})
		srv.Channel("room:*", func() trunkline.Channel { return trackedRoom{} })
		return start(srv)
	}
	urlA, stopA := node()
	urlB, stopB := node()
	defer stopB()

	for _, user := range []string{"ann", "bob", "robot"} {
		joinTracked(t, urlA, user)
	}
	joinTracked(t, urlB, "ann")
	joinTracked(t, urlB, "cid").push("phx_leave", `{}`)
	w.wait(t, 1)
	stopA()
	w.wait(t, 2)
	time.Sleep(2 * time.Second) // for what should not come
	got, _ := json.Marshal(w.left)
	if string(got) != `["user_socket:cid","user_socket:bob"]` {
		t.Errorf("left: %s", got)
	}
}

func (w *leftWorker) wait(t *testing.T, n int) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); w.seen() < n; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d departures, want %d", w.seen(), n)
		}
	}
}

// joinTracked returns when the client is tracked.
func joinTracked(t *testing.T, url, user string) *wireClient {
	t.Helper()
	c := dialClient(t, url, user)
	c.join(`{}`)
	for {
		if _, event, payload := c.read(); event == "presence_diff" {
			if _, joined := payload["joins"].(object)["user_socket:"+user]; joined {
				return c
			}
		}
	}
}

// A departure is posted to the endpoint that is named for it, which must exist.
func TestPresenceLeftWebhook(t *testing.T) {
	t.Parallel()
	receiver := newHookReceiver(t)
	newNode := func(endpoint string) *trunkline.Server {
		srv := newServer(pgtest.URL(t))
		srv.Jobs(trunkline.JobsOptions{Webhooks: map[string]trunkline.WebhookEndpoint{
			"app": {URL: receiver.URL, Secret: webhookSecret, AllowPrivate: true},
		}})
		srv.Presence("room:*", trunkline.PresenceOptions{LeftWebhook: endpoint})
		srv.Channel("room:*", func() trunkline.Channel { return trackedRoom{} })
		return srv
	}
	if err := newNode("typo").Run(t.Context()); !errors.Is(err, trunkline.ErrUnknownEndpoint) {
		t.Errorf("an endpoint that is not configured: %v", err)
	}
	url, stop := start(newNode("app"))
	defer stop()
	joinTracked(t, url, "ann").push("phx_leave", `{}`)
	select {
	case got := <-receiver.events:
		if !strings.HasPrefix(got, "presence.left ") || !strings.Contains(got, `"key": "user_socket:ann"`) && !strings.Contains(got, `"key":"user_socket:ann"`) {
			t.Errorf("got %s", got)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("no event")
	}
}
