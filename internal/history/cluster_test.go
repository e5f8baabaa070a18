package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/trunkline/trunkline/internal/pgtest"
)

// startReal runs a History on Postgres until the end of the test.
func startReal(t testing.TB, url string, config Config) *node {
	t.Helper()
	poolConfig, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	poolConfig.MaxConns = 8
	config.Pool, err = pgxpool.NewWithConfig(context.Background(), poolConfig)
	if err != nil {
		t.Fatal(err)
	}
	config.DirectURL = url
	if config.Patterns == nil {
		config.Patterns = []Pattern{{Pattern: "room:*"}}
	}
	n := start(config, func(c Config) *History {
		h, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		return h
	})
	t.Cleanup(func() {
		n.stop()
		config.Pool.Close()
	})
	return n
}

// statements returns how many statements of a kind a node has sent.
func (n *node) statements(kind string) int {
	return int(testutil.ToFloat64(n.metrics.queries.WithLabelValues(kind)))
}

// Whatever the bus loses, both nodes deliver everything once and in order.
func TestTwoNodesOverALossyBus(t *testing.T) {
	t.Parallel()
	for _, noticed := range []bool{true, false} {
		t.Run(fmt.Sprint("noticed=", noticed), func(t *testing.T) {
			t.Parallel()
			url := pgtest.URL(t)
			bus := &lossyBus{loss: 0.3, tell: noticed}
			var nodes []*node
			for range 2 {
				own := &port{}
				// What is lost unnoticed is found by the sweeps, often here.
				n := startReal(t, url, Config{Bus: own, SweepInterval: 300 * time.Millisecond, RingMessages: 32})
				bus.join(own, n)
				nodes = append(nodes, n)
			}
			t.Cleanup(func() { // before the nodes' own, so that none publishes any more
				for _, n := range nodes {
					n.stop()
				}
				bus.close()
			})
			const topics, each = 4, 60
			for i := range topics {
				for _, n := range nodes {
					defer n.follow(t, fmt.Sprint("room:", i))()
				}
			}
			var all sync.WaitGroup
			for i := range topics {
				topic := fmt.Sprint("room:", i)
				for _, n := range nodes {
					all.Go(func() {
						for j := range each {
							body := "x"
							if j%20 == 7 {
								body = strings.Repeat("x", 50_000)
							}
							id := n.publish(t, topic, body)
							if j%10 == 5 {
								if _, err := n.Update(context.Background(), topic, id, []byte(`{"body":"y"}`)); err != nil {
									t.Error(err)
								}
							}
						}
					})
				}
				all.Go(func() {
					conn := connect(t, url)
					for j := range each / 2 {
						exec(t, conn, "select trunkline.publish($1, 'sql', $2)", topic, fmt.Sprintf(`{"n":%d}`, j))
					}
				})
			}
			all.Wait()
			const head = 2*(each+each/10) + each/2
			for i := range topics {
				topic := fmt.Sprint("room:", i)
				for k, n := range nodes {
					n.waitForHead(t, topic, head)
					wantIDs(t, fmt.Sprint(topic, " on node ", k), n.ids(topic), span(1, head))
				}
				page, err := nodes[0].After(t.Context(), topic, 0, 1000)
				if err != nil {
					t.Fatal(err)
				}
				wantIDs(t, topic, pageIDs(page), span(1, page.Messages[len(page.Messages)-1].ID))
			}
		})
	}
}

// Killed connections cost nobody a message: with a key, publishing just takes
// longer; without one, it may fail with an unknown outcome.
func TestKilledConnections(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	n := startReal(t, url, Config{SweepInterval: 500 * time.Millisecond})
	defer n.follow(t, "room:1")()
	ctx, cancel := context.WithCancel(t.Context())
	var killer, publishers sync.WaitGroup
	killer.Go(func() {
		conn := connect(t, url)
		for pause(ctx, 100*time.Millisecond) {
			exec(t, conn, `select pg_terminate_backend(pid) from pg_stat_activity
				where datname = current_database() and pid <> pg_backend_pid() and random() < 0.5`)
		}
	})
	var mu sync.Mutex
	acknowledged := map[int64]string{}
	unknown := 0
	for p := range 8 {
		publishers.Go(func() {
			for i := range 40 {
				name, key := fmt.Sprintf("%d-%d", p, i), ""
				if p%2 == 0 {
					key = name
				}
				id, err := n.Publish(ctx, "room:1", "new_msg", fmt.Appendf(nil, `{"body":%q}`, name), key)
				mu.Lock()
				switch {
				case err == nil && acknowledged[id] != "":
					t.Errorf("%s and %s have the id %d", name, acknowledged[id], id)
				case err == nil:
					acknowledged[id] = name
				case errors.Is(err, ErrUnknownOutcome) && key == "":
					unknown++
				default:
					t.Errorf("%s: %v", name, err)
				}
				mu.Unlock()
			}
		})
	}
	publishers.Wait()
	cancel()
	killer.Wait()
	head := ask[int64](t, connect(t, url), "select head from trunkline.topics where name = 'room:1'")
	if len(acknowledged)+unknown != 8*40 || head < int64(len(acknowledged)) || head > int64(len(acknowledged)+unknown) {
		t.Errorf("%d acknowledged, %d unknown, head %d", len(acknowledged), unknown, head)
	}
	n.waitForHead(t, "room:1", head)
	wantIDs(t, "delivered", n.ids("room:1"), span(1, head))
	for _, m := range n.delivered["room:1"] {
		var payload struct{ Body string }
		if err := json.Unmarshal(m.Payload, &payload); err != nil || acknowledged[m.ID] != "" && acknowledged[m.ID] != payload.Body {
			t.Errorf("message %d is %s, was acknowledged to %s", m.ID, m.Payload, acknowledged[m.ID])
		}
	}
}

func TestReconnectStorm(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	s := storeOn(t, url)
	for i := range 500 {
		id := topicNamed(t, s, fmt.Sprint("room:", i))
		batch := make([]entry, 120)
		for j := range batch {
			batch[j] = message(id, fmt.Sprint(j))
		}
		mustAppend(t, s, batch...)
	}
	for _, topics := range []int{1, 500} {
		t.Run(fmt.Sprint("topics=", topics), func(t *testing.T) {
			n := startReal(t, url, Config{SweepInterval: time.Hour, ReadTimeout: 30 * time.Second})
			before := n.statements("after") + n.statements("topics") + n.statements("before")
			began := time.Now()
			topic := func(i int) string { return fmt.Sprint("room:", i%topics) }
			var all sync.WaitGroup
			for i := range 2000 {
				all.Go(func() {
					defer n.follow(t, topic(i))()
					page, err := n.After(context.Background(), topic(i), 20, 100)
					if err != nil {
						t.Error(err)
						return
					}
					wantIDs(t, topic(i), pageIDs(page), span(21, 120))
				})
			}
			all.Wait()
			count := n.statements("after") + n.statements("topics") + n.statements("before") - before
			t.Logf("%d statements, %v", count, time.Since(began))
			if count > 20*topics || topics > 1 && count > 3*topics {
				t.Errorf("%d statements", count)
			}
		})
	}
}

func TestOnPostgres(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	var mu sync.Mutex
	var ephemeral []string
	registry := prometheus.NewRegistry()
	n := startReal(t, url, Config{
		Patterns:   []Pattern{{Pattern: "room:*", IDKey: "nr"}},
		Registerer: registry,
		Prepare:    func(topic string, m *Message) any { return fmt.Sprint(topic, " ", m.ID) },
		Broadcast: func(topic, event string, payload []byte) {
			mu.Lock()
			defer mu.Unlock()
			ephemeral = append(ephemeral, fmt.Sprint(topic, " ", event, " ", string(payload)))
		},
	})
	defer n.follow(t, "room:1")()
	ctx := t.Context()
	n.publish(t, "room:1", "first")
	n.publish(t, "room:1", "second")
	if id, err := n.Update(ctx, "room:1", 1, []byte(`{"body":"changed"}`)); id != 3 || err != nil {
		t.Fatalf("update: %d, %v", id, err)
	}
	if id, err := n.Update(ctx, "room:1", 2, []byte(`{"body":"gone"}`)); id != 4 || err != nil {
		t.Fatalf("update: %d, %v", id, err)
	}
	if id, err := n.Delete(ctx, "room:1", 2); id != 5 || err != nil {
		t.Fatalf("delete: %d, %v", id, err)
	}

	conn := connect(t, url)
	for _, commit := range []bool{false, true} {
		tx := begin(t, conn)
		if err := n.PublishTx(ctx, tx, "room:1", "from_tx", []byte(`{"commit":true}`), ""); err != nil {
			t.Fatal(err)
		}
		if err := n.PublishTx(ctx, tx, "room:1", "from_tx", []byte(`{"nr":1}`), ""); !errors.Is(err, ErrReservedKey) {
			t.Errorf("a payload with an id: %v", err)
		}
		end := map[bool]func(context.Context) error{true: tx.Commit, false: tx.Rollback}[commit]
		if err := end(ctx); err != nil {
			t.Fatal(err)
		}
	}
	n.waitForHead(t, "room:1", 6)
	exec(t, conn, `select trunkline.broadcast('room:1', 'typing', '{"a": 1}')`)

	want := []string{
		`new_msg {"nr":1,"body":"first"}`, `new_msg {"nr":2,"body":"second"}`,
		`message_updated {"nr":3,"message_id":1,"payload":{"body":"changed"}}`, `message_updated {"nr":4,"message_id":2,"payload":{"body":"gone"}}`,
		`message_deleted {"nr":5,"message_id":2}`, `from_tx {"nr":6,"commit": true}`,
	}
	for i, m := range n.delivered["room:1"] {
		if got := m.Event + " " + string(m.Payload); got != want[i] || m.Shared != fmt.Sprint("room:1 ", m.ID) {
			t.Errorf("delivered %s with %v, want %s", got, m.Shared, want[i])
		}
	}
	want[0], want[1], want[3] = `new_msg {"nr":1,"body":"changed"}`, `new_msg `, `message_updated `
	fresh := startReal(t, url, Config{Patterns: []Pattern{{Pattern: "room:*", IDKey: "nr"}}})
	for name, h := range map[string]*node{"memory": n, "database": fresh} {
		page, err := h.After(ctx, "room:1", 0, 100)
		if err != nil || len(page.Messages) != 6 || page.Head != 6 || page.Oldest != 1 {
			t.Fatalf("%s: %+v, %v", name, page, err)
		}
		for i, m := range page.Messages {
			if got := m.Event + " " + string(m.Payload); got != want[i] || m.Deleted != (i == 1 || i == 3) || m.InsertedAt.IsZero() {
				t.Errorf("%s: %s, deleted %v; want %s", name, got, m.Deleted, want[i])
			}
		}
	}
	first, err := n.After(ctx, "room:1", 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	second, err := fresh.After(ctx, "room:1", 0, 1)
	if err != nil || first.Epoch != second.Epoch || first.Epoch == "" {
		t.Errorf("epochs %q and %q, %v", first.Epoch, second.Epoch, err)
	}

	if unread, err := n.Seen(ctx, "room:1", "ann", 1); unread != 1 || err != nil { // of 1 to 6 three are edits, one is deleted
		t.Errorf("unread after 1: %d, %v", unread, err)
	}
	unread, err := n.Unread(ctx, "ann", []string{"room:1", "room:none"})
	if err != nil || unread["room:1"] != 1 || unread["room:none"] != 0 || len(unread) != 2 {
		t.Errorf("unread: %v, %v", unread, err)
	}
	if unread, err := n.Seen(ctx, "room:none", "ann", 1); unread != 0 || err != nil {
		t.Errorf("unread of a topic without messages: %d, %v", unread, err)
	}

	deadline := time.Now().Add(10 * time.Second)
	for {
		mu.Lock()
		got := fmt.Sprint(ephemeral)
		mu.Unlock()
		if got == `[room:1 typing {"a": 1}]` {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("broadcast from SQL: %s", got)
		}
		time.Sleep(time.Millisecond)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v, %v", problems, err)
	}
}

// A topic made anew, as by a restored dump, is another stream.
func TestTopicMadeAnew(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	n := startReal(t, url, Config{SweepInterval: time.Hour})
	defer n.follow(t, "room:1")()
	for range 5 {
		n.publish(t, "room:1", "x")
	}
	n.waitForHead(t, "room:1", 5)
	conn := connect(t, url)
	err := pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
		exec(t, tx, "delete from trunkline.messages")
		exec(t, tx, "delete from trunkline.topics")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if id := n.publish(t, "room:1", "x"); id != 1 {
		t.Errorf("id %d in the topic made anew", id)
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		n.mu.Lock()
		resets := len(n.resets)
		n.mu.Unlock()
		if resets > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the feed was not reset")
		}
		time.Sleep(time.Millisecond)
	}
	for range 3 {
		n.publish(t, "room:1", "x")
	}
	n.waitForHead(t, "room:1", 4)
	page, err := n.After(t.Context(), "room:1", 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	wantIDs(t, "page", pageIDs(page), span(1, 4))
}

func TestConfig(t *testing.T) {
	pool, err := pgxpool.New(context.Background(), "postgres://localhost/unused")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	good := Config{Pool: pool, DirectURL: "postgres://localhost/unused"}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"Pool":          func(c *Config) { c.Pool = nil },
		"DirectURL":     func(c *Config) { c.DirectURL = "" },
		"schema":        func(c *Config) { c.Schema = "Not A Name" },
		"pattern":       func(c *Config) { c.Patterns = []Pattern{{Pattern: "a*b"}} },
		"duration":      func(c *Config) { c.ReadTimeout = -1 },
		"QueueMessages": func(c *Config) { c.QueueMessages = -1 },
		"QueueBytes":    func(c *Config) { c.QueueBytes = 1000 },
		"RingMessages":  func(c *Config) { c.RingMessages = -1 },
	} {
		c := good
		change(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	registry := prometheus.NewRegistry()
	good.Registerer = registry
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	if _, err := New(good); err == nil {
		t.Error("metrics are registered twice")
	}
}
