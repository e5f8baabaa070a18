package sqlview

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/trunkline/trunkline/internal/dbsqlc"
	"github.com/trunkline/trunkline/internal/pgtest"
	"github.com/trunkline/trunkline/internal/presence"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// alone is a bus without other nodes.
type alone string

func (a alone) Node() string                               { return string(a) }
func (alone) Publish(byte, string, []byte) error           { return nil }
func (alone) PublishTo(string, byte, string, []byte) error { return nil }
func (alone) ready() error                                 { return nil }
func (alone) deliver(_ string, _ *presence.PresenceDiff)   {}

// node is a tracker whose changes go to a view.
type node struct {
	*presence.Tracker
	view *View
}

func newNode(t testing.TB, name string, db dbsqlc.DBTX) *node {
	t.Helper()
	view, err := New(Config{DB: db, Node: name})
	if err != nil {
		t.Fatal(err)
	}
	bus := alone(name)
	tracker, err := presence.New(presence.Config{Bus: bus, Ready: bus.ready, Deliver: bus.deliver, OnLocal: view.Change})
	if err != nil {
		t.Fatal(err)
	}
	return &node{tracker, view}
}

func (n *node) track(t testing.TB, topic, key, meta string) presence.Owner {
	t.Helper()
	owner := n.NewOwner()
	if _, err := n.Track(owner, topic, key, json.RawMessage(meta)); err != nil {
		t.Fatal(err)
	}
	return owner
}

func (n *node) update(t testing.TB, owner presence.Owner, topic, key, meta string) {
	t.Helper()
	if _, err := n.Update(owner, topic, key, json.RawMessage(meta)); err != nil {
		t.Fatal(err)
	}
}

// work does at once what Run does each second.
func (n *node) work(t testing.TB) {
	t.Helper()
	if err := n.view.work(context.Background(), time.Now()); err != nil {
		t.Fatal(err)
	}
}

// beat is work when it is time for a heartbeat.
func (n *node) beat(t testing.TB) {
	t.Helper()
	n.view.beaten = time.Time{}
	n.work(t)
}

// run is Run until stop.
func (n *node) run(t testing.TB) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.view.Run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func (n *node) statements(kind string) int {
	return int(testutil.ToFloat64(n.view.metrics.statements.WithLabelValues(kind)))
}

func open(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func exec(t testing.TB, db dbsqlc.DBTX, sql string, args ...any) {
	t.Helper()
	if _, err := db.Exec(context.Background(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func ask[T any](t testing.TB, db dbsqlc.DBTX, sql string, args ...any) T {
	t.Helper()
	var v T
	if err := db.QueryRow(context.Background(), sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// seen lists the view as "topic key node meta", without phx_refs.
func seen(db dbsqlc.DBTX) ([]string, error) {
	rows, err := db.Query(context.Background(), `
		select concat_ws(' ', topic, key, node, meta - 'phx_ref' - 'phx_ref_prev')
		from trunkline.presence order by 1`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func wantSeen(t testing.TB, db dbsqlc.DBTX, want ...string) {
	t.Helper()
	got, err := seen(db)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("the view has %q, want %q", got, want)
	}
}

// waitSeen polls, since Postgres tells nobody that a view has changed.
func waitSeen(t testing.TB, db dbsqlc.DBTX, within time.Duration, want ...string) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		got, err := seen(db)
		if err == nil && slices.Equal(got, want) {
			return time.Since(began)
		}
		if time.Since(began) > within {
			t.Fatalf("after %v the view has %q, want %q; %v", within, got, want, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

const (
	countMembers = "select count(*) from trunkline.presence_members"
	countLives   = "select count(*) from trunkline.presence_nodes"
	// die is a node's silence of 15 s.
	die = "update trunkline.presence_nodes set beat_at = now() - interval '15 seconds' where node = $1"
	// crash is what one of Postgres leaves of unlogged tables.
	crash = "with lives as (delete from trunkline.presence_nodes) delete from trunkline.presence_members"
)

func many(n int) string { return fmt.Sprintf("user-%05d", n) }
