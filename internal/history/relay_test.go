package history

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/trunkline/trunkline/internal/dbsqlc"
	"github.com/trunkline/trunkline/internal/devdb"
	"github.com/trunkline/trunkline/internal/pgtest"
)

// told is what a relay told its node.
type told struct {
	mu     sync.Mutex
	rows   []drained
	missed int
	found  []int64 // generations
	count  map[string]int
	more   chan struct{}
}

// await returns what was told once that satisfies enough.
func (r *told) await(t testing.TB, enough func(rows []drained, missed int) bool) []drained {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		r.mu.Lock()
		rows, missed := r.rows, r.missed
		r.mu.Unlock()
		if enough(rows, missed) {
			return rows
		}
		select {
		case <-r.more:
		case <-deadline:
			t.Fatalf("%d rows, missed %d times after half a minute", len(rows), missed)
		}
	}
}

// startRelay runs a relay until the end of the test.
func startRelay(t testing.TB, url string) *told {
	t.Helper()
	return startRelayAs(t, url, standardSchema(t))
}

func startRelayAs(t testing.TB, url string, schema *dbsqlc.Schema) *told {
	t.Helper()
	result := &told{more: make(chan struct{}, 1), count: make(map[string]int)}
	changed := func(change func()) {
		result.mu.Lock()
		change()
		result.mu.Unlock()
		select {
		case result.more <- struct{}{}:
		default:
		}
	}
	r := &relay{
		url: url, schema: schema, log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		count:   func(kind string) { changed(func() { result.count[kind]++ }) },
		deliver: func(rows []drained) { changed(func() { result.rows = append(result.rows, rows...) }) },
		missed:  func() { changed(func() { result.missed++ }) },
		found:   func(generation int64) { changed(func() { result.found = append(result.found, generation) }) },
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return result
}

func leads(_ []drained, missed int) bool { return missed > 0 }

func atLeast(n int) func([]drained, int) bool {
	return func(rows []drained, _ int) bool { return len(rows) >= n }
}

// The relay tells everything once, in order, awake and asleep.
func TestRelay(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	r, s := startRelay(t, url), storeOn(t, url)
	r.await(t, leads)
	if generation, err := s.generation(context.Background()); err != nil || len(r.found) != 1 || r.found[0] != generation {
		t.Errorf("it found the generations %v, want %d, %v", r.found, generation, err)
	}
	for n := range 3000 {
		mustPublish(t, s, fmt.Sprint("t", n%3), "e", "{}", "")
	}
	rows := r.await(t, atLeast(3000))
	for i := 1; i < len(rows); i++ {
		if rows[i].outboxID <= rows[i-1].outboxID || rows[i].id != int64(i/3+1) {
			t.Fatalf("row %d: %d after %d, id %d", i, rows[i].outboxID, rows[i-1].outboxID, rows[i].id)
		}
	}
	// It falls asleep, and the doorbell wakes it.
	for ask[bool](t, s.db, "select awake_until > clock_timestamp() from trunkline.relay") {
		time.Sleep(10 * time.Millisecond)
	}
	exec(t, s.db, "select trunkline.broadcast('t0', 'x', '{\"n\": 1}')")
	if rows := r.await(t, atLeast(3001)); !rows[3000].ephemeral || rows[3000].event != "x" {
		t.Errorf("the broadcast came as %+v", rows[3000])
	}
	// What comes without the doorbell is found as well.
	for ask[bool](t, s.db, "select awake_until > clock_timestamp() from trunkline.relay") {
		time.Sleep(10 * time.Millisecond)
	}
	exec(t, s.db, "insert into trunkline.outbox (topic, event, payload) values ('t0', 'y', '{}')")
	r.await(t, atLeast(3002))
}

// The leader's connection is terminated, and another node takes over; what was
// stored is stored once, and what was not told was missed.
func TestRelayTakesOver(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	s, watcher := storeOn(t, url), connect(t, url)
	relays := []*told{startRelay(t, url), startRelay(t, url), startRelay(t, url)}
	const leader = `select l.pid from pg_locks l join pg_stat_activity a using (pid)
		where l.locktype = 'advisory' and l.database = (select oid from pg_database where datname = current_database()) and a.application_name = 'trunkline relay'`
	published := 0
	for round := range 5 {
		for range 200 {
			mustPublish(t, s, "t", "e", "{}", "")
			published++
		}
		for ask[int](t, watcher, "select count(*) from ("+leader+") l") == 0 {
			time.Sleep(time.Millisecond)
		}
		exec(t, watcher, "select pg_terminate_backend(pid) from ("+leader+") l")
		for ask[int](t, watcher, "select count(*) from trunkline.messages") < published {
			time.Sleep(time.Millisecond)
		}
		if got := ask[int](t, watcher, "select count(*) from trunkline.outbox"); got != 0 {
			t.Errorf("round %d: %d rows left in the outbox", round, got)
		}
	}
	if got := ask[int](t, watcher, "select count(*) from trunkline.messages"); got != published {
		t.Errorf("%d messages, want %d", got, published)
	}
	if wrong := ask[string](t, watcher, gapless); wrong != "" {
		t.Error(wrong)
	}
	seen, missed := make(map[int64]bool), 0
	for _, r := range relays {
		r.mu.Lock()
		missed += r.missed
		for _, row := range r.rows {
			if seen[row.id] {
				t.Errorf("message %d was told twice", row.id)
			}
			seen[row.id] = true
		}
		r.mu.Unlock()
	}
	if missed < 5 || len(seen) < published && missed == 0 {
		t.Errorf("missed %d times; %d of %d messages were told", missed, len(seen), published)
	}
}

// A leader that a network has swallowed is succeeded, also where something
// between it and Postgres keeps the connection open.
func TestASilentLeaderIsSucceeded(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	schema := standardSchema(t)
	silent, err := connectDirect(t.Context(), url, "silent", func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer closeDirect(silent)
	if leads, err := (&relay{schema: schema}).tryLead(t.Context(), newStore(schema, silent, nil)); err != nil || !leads {
		t.Fatalf("leads: %v, %v", leads, err)
	}
	startRelay(t, url).await(t, leads)
}

// Where Postgres is away, the relay goes on when it is back.
func TestRelayOutlivesPostgres(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := pgtest.Server(t)
	pgtest.Migrate(t, db.URL())
	r := startRelay(t, db.URL())
	r.await(t, leads)
	exec(t, connect(t, db.URL()), "checkpoint") // tests do not wait for the disk
	if err := db.StopServer(ctx, devdb.Immediate); err != nil {
		t.Fatal(err)
	}
	if err := db.StartServer(ctx); err != nil {
		t.Fatal(err)
	}
	mustPublish(t, storeOn(t, db.URL()), "t", "e", "{}", "")
	r.await(t, atLeast(1))
}
