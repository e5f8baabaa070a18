package history

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// publishAll publishes bodies 0..n-1 to a topic at once, in order, and returns
// the answers.
func publishAll(n *node, topic string, count int, key func(i int) string) (ids []int64, errs []error) {
	ids, errs = make([]int64, count), make([]error, count)
	var all sync.WaitGroup
	for i := range count {
		all.Go(func() {
			ids[i], errs[i] = n.Publish(context.Background(), topic, "new_msg", fmt.Appendf(nil, `{"n":%d}`, i), key(i))
		})
		synctest.Wait() // it is queued, or more
	}
	all.Wait()
	return ids, errs
}

func noKey(int) string { return "" }

func TestPublish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newFakeServer()
		server.delay = 10 * time.Millisecond // so that what comes meanwhile makes one batch
		n := startFake(t, server, Config{})
		ids, errs := publishAll(n, "room:1", 20, noKey)
		wantIDs(t, "answers", ids, span(1, 20))
		if err := errors.Join(errs...); err != nil {
			t.Error(err)
		}
		if batches := len(server.batches); batches != 2 {
			t.Errorf("%d batches, want the first message alone and then the rest", batches)
		}
	})
}

func TestPublishRefusesBadMessages(t *testing.T) {
	n := newFake(newFakeServer(), Config{})
	ctx := context.Background()
	long := strings.Repeat("x", 300)
	for _, c := range []struct {
		topic, event, payload, key string
		want                       error
	}{
		{"other:1", "new_msg", `{}`, "", ErrNotDurable},
		{"room:" + strings.Repeat("x", 512), "new_msg", `{}`, "", ErrTopic},
		{"room:1", "phx_join", `{}`, "", ErrEvent},
		{"room:1", EventUpdated, `{}`, "", ErrEvent},
		{"room:1", "new_msg", `[]`, "", ErrPayload},
		{"room:1", "new_msg", `{"id":1}`, "", ErrReservedKey},
		{"room:1", "new_msg", `{}`, long, ErrKey},
	} {
		if _, err := n.Publish(ctx, c.topic, c.event, []byte(c.payload), c.key); !errors.Is(err, c.want) {
			t.Errorf("Publish(%.10q, %q, %s, %.5q): %v, want %v", c.topic, c.event, c.payload, c.key, err, c.want)
		}
	}
	if _, err := n.Update(ctx, "room:1", 0, []byte(`{}`)); !errors.Is(err, ErrNotFound) {
		t.Errorf("Update of message 0: %v", err)
	}
	if _, err := n.Update(ctx, "room:1", 1, []byte(`{"id":2}`)); !errors.Is(err, ErrReservedKey) {
		t.Errorf("Update with an id: %v", err)
	}
}

func TestKeysWithinABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newFakeServer()
		server.delay = 10 * time.Millisecond
		n := startFake(t, server, Config{})
		release := n.follow(t, "room:1")
		defer release()
		ids, errs := publishAll(n, "room:1", 9, func(i int) string { return fmt.Sprint("key", i%3) })
		wantIDs(t, "answers", ids, []int64{1, 2, 3, 1, 2, 3, 1, 2, 3})
		if err := errors.Join(errs...); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		wantIDs(t, "delivered", n.ids("room:1"), span(1, 3))
	})
}

func TestBusyTopicKeepsItsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newFakeServer()
		server.delay = 10 * time.Millisecond
		server.topic("room:busy")
		server.busy["room:busy"] = true
		n := startFake(t, server, Config{})
		var busy []int64
		var all sync.WaitGroup
		all.Go(func() {
			var errs []error
			busy, errs = publishAll(n, "room:busy", 6, noKey)
			if err := errors.Join(errs...); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			time.Sleep(5 * time.Millisecond)
			began := time.Now()
			n.publish(t, "room:free", "x")
			if took := time.Since(began); took > 50*time.Millisecond {
				t.Errorf("a busy topic held up another one for %v", took)
			}
		})
		time.Sleep(200 * time.Millisecond)
		server.set(func(s *fakeServer) { s.busy["room:busy"] = false })
		all.Wait()
		wantIDs(t, "answers", busy, span(1, 6))
		if server.waited == 0 {
			t.Error("the topic was not waited for, however long it was busy")
		}
	})
}

func TestUnknownOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newFakeServer()
		var bus recordingBus
		n := startFake(t, server, Config{Bus: &bus})
		release := n.follow(t, "room:1")
		defer release()
		var losing atomic.Bool // the next result
		server.set(func(s *fakeServer) {
			s.lose = func(kind string) bool { return kind == "append" && losing.CompareAndSwap(true, false) }
		})
		losing.Store(true)
		ids, errs := publishAll(n, "room:1", 1, noKey)
		if !errors.Is(errs[0], ErrUnknownOutcome) {
			t.Errorf("a lost result without a key: %d, %v", ids[0], errs[0])
		}
		losing.Store(true)
		ids, errs = publishAll(n, "room:1", 1, func(int) string { return "key" })
		if errs[0] != nil || ids[0] != 2 {
			t.Errorf("a lost result with a key: %d, %v; want 2", ids[0], errs[0])
		}
		time.Sleep(time.Second)
		wantIDs(t, "delivered although the result was lost", n.ids("room:1"), []int64{1, 2})
		if !bus.has("", "") {
			t.Error("the other nodes were not told to sweep")
		}
	})
}

// A message with a key whose first try lost its result is tried again. If that
// never comes to pass, nobody may say that it was not stored.
func TestUnknownOutcomeStaysUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newFakeServer()
		n := startFake(t, server, Config{})
		server.set(func(s *fakeServer) {
			s.lose = func(kind string) bool {
				if kind == "append" {
					s.down = true // after it has stored the message
				}
				return kind == "append"
			}
		})
		ids, errs := publishAll(n, "room:1", 1, func(int) string { return "key" })
		if !errors.Is(errs[0], ErrUnknownOutcome) || errors.Is(errs[0], ErrUnavailable) {
			t.Errorf("stored, then out of reach: %d, %v", ids[0], errs[0])
		}
		server.set(func(s *fakeServer) { s.down, s.lose = false, nil })
		time.Sleep(time.Second)
		ids, errs = publishAll(n, "room:1", 1, func(int) string { return "key" })
		if errs[0] != nil || ids[0] != 1 {
			t.Errorf("published again with the key: %d, %v; want 1", ids[0], errs[0])
		}
	})
}

func TestEditsThatFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startFake(t, newFakeServer(), Config{})
		ctx := context.Background()
		n.publish(t, "room:1", "x")
		if id, err := n.Update(ctx, "room:1", 1, []byte(`{"body":"y"}`)); id != 2 || err != nil {
			t.Errorf("update: %d, %v", id, err)
		}
		if _, err := n.Update(ctx, "room:1", 2, []byte(`{}`)); !errors.Is(err, ErrNotFound) {
			t.Errorf("update of an edit: %v", err)
		}
		if id, err := n.Delete(ctx, "room:1", 1); id != 3 || err != nil {
			t.Errorf("delete: %d, %v", id, err)
		}
		if _, err := n.Delete(ctx, "room:1", 1); !errors.Is(err, ErrNotFound) {
			t.Errorf("delete twice: %v", err)
		}
	})
}

func TestPostgresAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newFakeServer()
		n := startFake(t, server, Config{})
		release := n.follow(t, "room:1")
		defer release()
		server.set(func(s *fakeServer) { s.down = true })
		began := time.Now()
		_, errs := publishAll(n, "room:1", 3, noKey)
		for _, err := range errs {
			if !errors.Is(err, ErrUnavailable) {
				t.Errorf("published while Postgres is away: %v", err)
			}
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("it took %v, want PublishTimeout", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.Publish(ctx, "room:1", "new_msg", []byte(`{}`), ""); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("published with a deadline: %v", err)
		}
		if _, err := n.After(ctx, "room:1", 7, 10); !errors.Is(err, ErrUnavailable) {
			t.Errorf("read while Postgres is away: %v", err)
		}
		time.Sleep(3 * time.Minute)
		server.publish("room:1", 5) // by another node, which tells nobody
		server.set(func(s *fakeServer) { s.down = false })
		time.Sleep(2 * time.Second)
		wantIDs(t, "delivered when Postgres was back", n.ids("room:1"), span(1, 5))
		if id := n.publish(t, "room:1", "x"); id != 6 {
			t.Errorf("published when Postgres was back: %d", id)
		}
	})
}

func TestGivenUpMessagesAreNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newFakeServer()
		server.before = func(kind string, _ []entry) error {
			if kind == "ensure" {
				time.Sleep(time.Second)
			}
			return nil
		}
		n := startFake(t, server, Config{})
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if _, err := n.Publish(ctx, "room:1", "new_msg", []byte(`{}`), ""); !errors.Is(err, ErrUnavailable) {
			t.Errorf("given up before it was sent: %v", err)
		}
		time.Sleep(2 * time.Second)
		if head := server.head("room:1"); head != 0 {
			t.Errorf("the message given up was stored: head %d", head)
		}
		server.set(func(s *fakeServer) { s.delay = time.Second })
		ctx, cancel = context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if _, err := n.Publish(ctx, "room:1", "new_msg", []byte(`{}`), ""); !errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("given up after it was sent: %v", err)
		}
	})
}

func TestRefusedStatements(t *testing.T) {
	refusal := func(code string) error {
		return fmt.Errorf("append: %w", &pgconn.PgError{SeverityUnlocalized: "ERROR", Code: code})
	}
	for _, code := range []string{"40P01", "23514"} { // deadlock; a partition that was attached
		t.Run(code, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, tries := newFakeServer(), 0
				server.before = func(kind string, _ []entry) error {
					if kind == "append" && tries < 3 {
						tries++
						return refusal(code)
					}
					return nil
				}
				n := startFake(t, server, Config{})
				n.publish(t, "room:1", "x")
			})
		})
	}
	t.Run("one bad message", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			server := newFakeServer()
			server.delay = 10 * time.Millisecond
			server.before = func(_ string, batch []entry) error {
				for _, e := range batch {
					if string(e.payload) == `{"n":3}` {
						return refusal("22021")
					}
				}
				return nil
			}
			n := startFake(t, server, Config{})
			ids, errs := publishAll(n, "room:1", 6, noKey)
			var refused *pgconn.PgError
			if !errors.As(errs[3], &refused) {
				t.Errorf("the bad message: %d, %v", ids[3], errs[3])
			}
			errs[3] = nil
			if err := errors.Join(errs...); err != nil {
				t.Error(err)
			}
			wantIDs(t, "the others", slices.Delete(ids, 3, 4), span(1, 5))
		})
	})
	t.Run("read-only server", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			server := newFakeServer()
			began := time.Now()
			server.before = func(kind string, _ []entry) error {
				if kind == "append" && time.Since(began) < time.Second {
					return refusal("25006")
				}
				return nil
			}
			n := startFake(t, server, Config{})
			n.publish(t, "room:1", "x")
			if tries := server.count("append"); tries > 10 {
				t.Errorf("%d tries within a second", tries)
			}
		})
	})
}

func TestTopicGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newFakeServer()
		n := startFake(t, server, Config{})
		n.publish(t, "room:1", "x")
		server.set(func(s *fakeServer) { delete(s.topics, "room:1"); s.topic("other"); s.topics["other"].id = 77 })
		if id := n.publish(t, "room:1", "x"); id != 1 {
			t.Errorf("id %d in the topic made anew", id)
		}
	})
}

func TestQueueFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newFakeServer()
		server.down = true
		n := startFake(t, server, Config{QueueMessages: 4})
		_, errs := publishAll(n, "room:1", 6, noKey)
		for i, err := range errs {
			if want := []error{ErrUnavailable, ErrQueueFull}[i/4]; !errors.Is(err, want) {
				t.Errorf("message %d: %v, want %v", i, err, want)
			}
		}
	})
}

func TestRunAnswersEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newFakeServer()
		n := startFake(t, server, Config{})
		n.publish(t, "room:1", "x")
		server.set(func(s *fakeServer) { s.delay = time.Second })
		answers := make([]error, 4)
		var all sync.WaitGroup
		all.Go(func() { _, answers[0] = n.Publish(t.Context(), "room:1", "new_msg", []byte(`{}`), "") })
		synctest.Wait()
		all.Go(func() { _, answers[1] = n.Publish(t.Context(), "room:1", "new_msg", []byte(`{}`), "") })
		all.Go(func() { _, answers[2] = n.After(t.Context(), "room:1", 0, 10) })
		all.Go(func() { _, answers[3] = n.Follow(t.Context(), "room:2") })
		time.Sleep(100 * time.Millisecond)
		n.stop()
		all.Wait()
		if answers[0] != nil {
			t.Errorf("the batch under way: %v", answers[0])
		}
		for i, err := range answers[1:] {
			if !errors.Is(err, ErrClosed) && !errors.Is(err, ErrUnavailable) {
				t.Errorf("who waits, %d: %v", i, err)
			}
		}
		if _, err := n.Publish(t.Context(), "room:1", "new_msg", []byte(`{}`), ""); !errors.Is(err, ErrClosed) {
			t.Errorf("published after the end: %v", err)
		}
	})
}

// A recordingBus notes what is published.
type recordingBus struct {
	alone atomic.Bool
	mu    sync.Mutex
	sent  []string
}

func (b *recordingBus) Alone() bool { return b.alone.Load() }

func (b *recordingBus) Publish(_ byte, topic string, body []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent = append(b.sent, topic+" "+string(body))
	return nil
}

func (b *recordingBus) all() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.sent)
}

func (b *recordingBus) has(topic, body string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Contains(b.sent, topic+" "+body)
}
