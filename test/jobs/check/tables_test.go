package main

import (
	"io"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/trunkline/trunkline/internal/pgtest"
	"github.com/trunkline/trunkline/test/harness"
)

// A scenario on a database with the tables of the servers and of the example,
// all of them empty.
func emptyScenario(t *testing.T) *scenario {
	t.Helper()
	db, err := pgxpool.New(t.Context(), pgtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	s := &scenario{
		check: &check{judge: &judge{}, journal: harness.NewJournal(io.Discard)}, cluster: &cluster{db: db}, phase: "phase",
	}
	s.exec(t, "create table orders (number text)")
	s.exec(t, "create table charges (order_number text)")
	s.exec(t, "create table departures (topic text, key text)")
	return s
}

func (s *scenario) exec(t *testing.T, sql string) {
	t.Helper()
	if _, err := s.db.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// What is stored once too often is found, whatever the clients were told.
func TestCountsFindWhatIsPlanted(t *testing.T) {
	t.Parallel()
	const job = "insert into trunkline.river_job (kind, max_attempts, args) values ('charge', 1, '{}')"
	for _, c := range []struct {
		name, sql string
		found     int
	}{
		{"nothing", "select 1", 0},
		{"a job", job, 1},
		{"an order", "insert into orders values ('n')", 1},
		{"a charge", "insert into charges values ('n')", 1},
		{"a message", "select trunkline.publish('shop:a', 'ordered', '{}')", 1},
		{"an unanswered request without a job", "insert into trunkline.job_replies (topic, requester, key, node) values ('shop:a', 'ann', 'k', 'a')", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := emptyScenario(t)
			s.exec(t, c.sql)
			if err := s.counts(t.Context(), orderCounts(0)); err != nil {
				t.Fatal(err)
			}
			if len(s.judge.found) != c.found {
				t.Errorf("found %v, want %d", s.judge.found, c.found)
			}
		})
	}
}

// An extra departure is found, and so is one whose job was queued but never
// worked.
func TestLeavesFindWhatIsPlanted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, sql string
		found     int
	}{
		{"nothing", "select 1", 0},
		{"a departure counted twice", "insert into departures values ('lobby:1', 'ann')", 1},
		{"a job too many", `insert into trunkline.river_job (kind, max_attempts, args) values ('departure', 1, '{"topic": "lobby:1", "key": "ann"}')`, 1},
		{"a departure that was lost", "delete from departures", 1},
		{"a stay left behind", `insert into trunkline.presence_stays (incarnation, number, topic, key, grace, online_at)
			values (gen_random_uuid(), 1, 'lobby:1', 'ann', '0', now())`, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := emptyScenario(t)
			s.exec(t, "insert into departures values ('lobby:1', 'ann')")
			s.exec(t, `insert into trunkline.river_job (kind, max_attempts, args) values ('departure', 1, '{"topic": "lobby:1", "key": "ann"}')`)
			s.exec(t, c.sql)
			want := map[stayer]expected{{"lobby:1", "ann"}: {1, 1}}
			if err := s.compareLeaves(t.Context(), want); err != nil {
				t.Fatal(err)
			}
			if len(s.judge.found) != c.found {
				t.Errorf("found %v, want %d", s.judge.found, c.found)
			}
		})
	}
}
