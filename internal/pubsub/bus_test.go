package pubsub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/trunkline/trunkline/db/migrations"
	"github.com/trunkline/trunkline/internal/pgtest"
)

// Every node gets each message of the others once, in the sender's order, and
// none of its own.
func TestOrderPerSender(t *testing.T) {
	t.Parallel()
	const each = 3000
	url := pgtest.URL(t)
	nodes := []*node{start(t, Config{DirectURL: url, Node: "a"}), start(t, Config{DirectURL: url, Node: "b"}), start(t, Config{DirectURL: url, Node: "c"})}
	var publishing sync.WaitGroup
	for i, n := range nodes {
		publishing.Go(func() {
			for k := range each {
				body := fmt.Sprint(k)
				var err error
				switch k % 10 {
				case 3: // direct messages keep their place among the others
					for j, other := range nodes {
						if j != i {
							err = errors.Join(err, n.PublishTo(other.ID(), testKind, "direct", []byte(body)))
						}
					}
				case 7: // and so do spilled ones
					if k%100 == 7 {
						body += strings.Repeat(" ", 9000)
					}
					fallthrough
				default:
					err = n.Publish(testKind, "all", []byte(body))
				}
				if err != nil {
					t.Errorf("publishing %d: %v", k, err)
				}
			}
		})
	}
	publishing.Wait()
	for _, n := range nodes {
		messages := n.await(t, 2*each)
		next := make(map[string]int)
		for _, m := range messages {
			if m.Node == n.ID() {
				t.Fatal("an own message came back")
			}
			if got := strings.TrimSpace(string(m.Body)); got != fmt.Sprint(next[m.Node]) {
				t.Fatalf("%s got %s of %s, want %d", n.ID(), got, m.Node, next[m.Node])
			}
			next[m.Node]++
		}
		if len(next) != 2 || n.lostTotal() != 0 || len(n.losses) != 0 {
			t.Errorf("%s: messages of %d senders, %v lost, losses %v", n.ID(), len(next), n.lostTotal(), n.losses)
		}
	}
}

// Bodies of every size up to the limit, as text and as bytes.
func TestEverySize(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	a, b := start(t, Config{DirectURL: url}), start(t, Config{DirectURL: url})
	sizes := []int{0, 1, 100, 5000, 5800, 5900, 7700, 7800, 7900, 8000, 8192, 64 << 10, 1 << 20, 1536 << 10, a.config.MaxMessage - 1}
	random := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		sizes = append(sizes, random.IntN(12_000), random.IntN(200_000))
	}
	var bodies [][]byte
	for i, size := range sizes {
		body := bytes.Repeat([]byte("x"), size)
		if i%2 == 0 {
			for k := range body {
				body[k] = byte(random.Uint32())
			}
		}
		bodies = append(bodies, body)
		for errors.Is(a.Publish(testKind, "t", body), ErrQueueFull) {
			b.await(t, i/2)
		}
	}
	for i, m := range b.await(t, len(bodies)) {
		if m.Topic != "t" || !bytes.Equal(m.Body, bodies[i]) {
			t.Fatalf("message %d of %d bytes came as %d bytes on %q", i, len(bodies[i]), len(m.Body), m.Topic)
		}
	}
}

func TestDirectReachesOnlyItsNode(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	a, b, c := start(t, Config{DirectURL: url}), start(t, Config{DirectURL: url}), start(t, Config{DirectURL: url})
	if err := a.PublishTo(b.ID(), testKind, "direct", []byte("1")); err != nil {
		t.Fatal(err)
	}
	a.publish(t, "end", "")
	if got := b.await(t, 2); got[0].Topic != "direct" || got[0].Node != a.ID() || got[0].Kind != testKind || string(got[0].Body) != "1" {
		t.Errorf("b got %+v", got[0])
	}
	if got := c.await(t, 1); got[0].Topic != "end" {
		t.Errorf("c got %+v", got[0])
	}
}

func TestTenNodesStartAtOnce(t *testing.T) {
	t.Parallel()
	const count = 10
	url := pgtest.URL(t)
	nodes := make([]*node, count)
	for i := range nodes {
		nodes[i] = prepare(t, Config{DirectURL: url, Node: fmt.Sprint("n", i)})
		nodes[i].publish(t, "early", "") // waits for the start
	}
	var starting sync.WaitGroup
	for _, n := range nodes {
		starting.Go(func() { n.run(t) })
	}
	starting.Wait()
	for _, n := range nodes {
		if err := n.Ready(); err != nil {
			t.Errorf("%s: %v", n.ID(), err)
		}
		n.publish(t, n.ID(), "")
	}
	for _, n := range nodes {
		for _, other := range nodes {
			if other != n {
				n.wait(t, "hearing "+other.ID(), n.heard(other.ID()))
			}
		}
	}
}

// Two installations in one database do not hear each other, and the queries
// reach the schema of another name.
func TestSchemasAreApart(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	if err := migrations.Up(context.Background(), url, "other"); err != nil {
		t.Fatal(err)
	}
	a1, a2 := start(t, Config{DirectURL: url}), start(t, Config{DirectURL: url})
	b1, b2 := start(t, Config{DirectURL: url, Schema: "other"}), start(t, Config{DirectURL: url, Schema: "other"})
	large := strings.Repeat("b", 20_000)
	a1.publish(t, "a", strings.Repeat("a", 20_000))
	b1.publish(t, "b", large)
	if got := a2.await(t, 1); got[0].Topic != "a" {
		t.Errorf("a2 got %q", got[0].Topic)
	}
	if got := b2.await(t, 1); got[0].Topic != "b" || string(got[0].Body) != large {
		t.Errorf("b2 got %q", got[0].Topic)
	}
}

// What is queued when Run ends is sent.
func TestRunDrains(t *testing.T) {
	t.Parallel()
	const count = 2000
	url := pgtest.URL(t)
	b := start(t, Config{DirectURL: url})
	a := start(t, Config{DirectURL: url})
	for k := range count {
		a.publish(t, "t", fmt.Sprint(k))
	}
	a.stop()
	b.await(t, count)
	if err := a.Publish(testKind, "t", nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Publish after the end: %v, want ErrClosed", err)
	}
	if err := a.Ready(); !errors.Is(err, errNotRunning) {
		t.Errorf("Ready after the end: %v", err)
	}
}

func TestPublisher(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	a := start(t, Config{DirectURL: url})
	p, err := Dial(context.Background(), Config{DirectURL: url, Node: "cli"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	bodies := []string{"small", strings.Repeat("l", 100_000)}
	for _, body := range bodies {
		if err := p.Publish(context.Background(), testKind, "t", []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	for i, m := range a.await(t, 2) {
		if string(m.Body) != bodies[i] || !strings.HasPrefix(m.Node, "cli@") {
			t.Errorf("message %d: %d bytes of %s", i, len(m.Body), m.Node)
		}
	}
	if err := p.Publish(context.Background(), testKind, "t", make([]byte, 2<<20)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("2 MiB: %v, want ErrTooLarge", err)
	}
}

// The end of a payload is told when all its messages have been handled.
func TestOnHandled(t *testing.T) {
	t.Parallel()
	const count = 100
	url := pgtest.URL(t)
	b := prepare(t, Config{DirectURL: url})
	var handled []int // messages by then
	b.OnHandled(func() { b.record(func() { handled = append(handled, len(b.messages)) }) })
	b.run(t)
	a := prepare(t, Config{DirectURL: url})
	for i := range count {
		body := "x"
		if i == count/2 { // has to be fetched
			body = strings.Repeat(body, 9000)
		}
		a.publish(t, "t", body) // waits for the start, so it is packed
	}
	a.run(t)
	b.wait(t, "the end of the last payload", func() bool { return len(handled) > 0 && handled[len(handled)-1] == count })
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Contains(handled, count/2) {
		t.Errorf("told after %v messages: not before the fetch", handled)
	}
	if len(handled) > count/10 {
		t.Errorf("%d payloads for %d messages", len(handled), count)
	}
}

// A panic ends one call and nothing else.
func TestHandlerPanics(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	b := prepare(t, Config{DirectURL: url})
	b.Handle(testKind+1, func(Message) { panic("on purpose") })
	b.run(t)
	a := start(t, Config{DirectURL: url})
	if err := a.Publish(testKind+1, "t", nil); err != nil {
		t.Fatal(err)
	}
	a.publish(t, "t", "after")
	b.await(t, 1)
	if n := testutil.ToFloat64(b.metrics.panics); n != 1 {
		t.Errorf("%v panics are counted", n)
	}
}

// Anything may come over the channel; the bus goes on.
func TestForeignNotifications(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	a, b := start(t, Config{DirectURL: url}), start(t, Config{DirectURL: url})
	conn := session(t, url)
	for _, payload := range []string{"", "hello", "1|", "1|b|x@abcdefghij23|0|1|", "1|h|" + b.ID() + "|", "1|b|x@abcdefghij23|0|1|07s0,w:00000000000000000000000000000000"} {
		if _, err := conn.Exec(context.Background(), "select pg_notify('trunkline.bus', $1)", payload); err != nil {
			t.Fatal(err)
		}
	}
	a.publish(t, "t", "after")
	b.await(t, 1)
	if n := testutil.ToFloat64(b.metrics.malformed); n != 4 {
		t.Errorf("%v malformed payloads are counted, want 4", n)
	}
	if n := b.lostTotal(); n != 1 { // the row that never was
		t.Errorf("%v messages are counted as lost, want 1", n)
	}
}

// Old spilled rows are deleted, whoever wrote them, and young ones stay.
func TestSpillExpires(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := pgtest.URL(t)
	conn := session(t, url)
	if _, err := conn.Exec(ctx, `
		insert into trunkline.spill (id, body, inserted_at)
		select gen_random_uuid(), 'x', now() - make_interval(secs => n) from generate_series(1, 1000) n`); err != nil {
		t.Fatal(err)
	}
	if err := ExpireSpilled(ctx, conn, ""); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := conn.QueryRow(ctx, "select count(*) from trunkline.spill").Scan(&left); err != nil {
		t.Fatal(err)
	}
	if left < 50 || left > 60 {
		t.Errorf("%d rows are left of 59 younger than a minute", left)
	}
}

// A message that is gone from the table is a loss of one.
func TestSpilledRowGone(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := pgtest.URL(t)
	conn := session(t, url)
	if _, err := conn.Exec(ctx, `
		create function trunkline.forget() returns trigger language plpgsql as 'begin return null; end';
		create trigger forget before insert on trunkline.spill for each row execute function trunkline.forget()`); err != nil {
		t.Fatal(err)
	}
	a, b := start(t, Config{DirectURL: url}), start(t, Config{DirectURL: url})
	a.publish(t, "large", strings.Repeat("x", 20_000))
	a.publish(t, "small", "")
	if got := b.await(t, 1); got[0].Topic != "small" {
		t.Errorf("got %q", got[0].Topic)
	}
	if len(b.losses) != 1 || b.losses[0] != (Loss{a.ID(), 1}) || b.lostTotal() != 1 {
		t.Errorf("losses %v, %v in all; want one of 1", b.losses, b.lostTotal())
	}
}

// A batch that Postgres refuses is dropped, counted and noticed by the others;
// the next one goes through on the same connection.
func TestRefusedBatch(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := pgtest.URL(t)
	conn := session(t, url)
	a, b := start(t, Config{DirectURL: url}), start(t, Config{DirectURL: url})
	a.publish(t, "first", "")
	b.await(t, 1)
	if _, err := conn.Exec(ctx, "alter table trunkline.spill rename to away"); err != nil {
		t.Fatal(err)
	}
	a.publish(t, "large", strings.Repeat("x", 20_000))
	b.wait(t, "a loss", func() bool { return len(b.losses) == 1 && b.losses[0] == Loss{a.ID(), 1} })
	a.publish(t, "last", "")
	b.wait(t, "the last message", b.heard("last"))
	if n := testutil.ToFloat64(a.metrics.dropped.WithLabelValues(dropRefused)); n != 1 {
		t.Errorf("%v refused messages are counted, want 1", n)
	}
	if n := testutil.ToFloat64(a.metrics.reconnects.WithLabelValues("notifier")); n != 0 {
		t.Errorf("%v reconnects", n)
	}
}

// A handler that stalls does not stall the listener: the inbox fills to its
// bound, the rest is dropped, and each dropped message is counted as lost.
func TestSlowHandler(t *testing.T) {
	t.Parallel()
	const count = 400
	url := pgtest.URL(t)
	b := prepare(t, Config{DirectURL: url, InboxBytes: 100_000})
	release := make(chan struct{})
	b.Handle(testKind+1, func(Message) { <-release })
	b.run(t)
	a := start(t, Config{DirectURL: url})
	if err := a.Publish(testKind+1, "stall", nil); err != nil {
		t.Fatal(err)
	}
	for range count {
		a.publish(t, "t", strings.Repeat("x", 4000))
	}
	awaitCounter(t, b.metrics.overflowed, 1)
	close(release)
	b.wait(t, "every message as received or lost", func() bool {
		lost := 0
		for _, l := range b.losses {
			lost += l.Count
		}
		return len(b.messages)+lost == count && lost > 0
	})
	if err := b.Ready(); err != nil {
		t.Errorf("a slow handler made the bus unready: %v", err)
	}
}

func TestMetricsRegister(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	config := Config{DirectURL: "postgres://localhost/x", Registerer: registry}
	if _, err := New(config); err != nil {
		t.Fatal(err)
	}
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	if _, err := New(config); err == nil {
		t.Error("two buses registered the same metrics")
	}
}

// session opens a plain connection for the test's own statements.
func session(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}
