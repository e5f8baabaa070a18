package history

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trunkline/trunkline/internal/pgtest"
)

// Two drain at once, and the connection of one is terminated again and again:
// every message is stored once, and those of one publisher in its order.
func TestDrainIsExactlyOnce(t *testing.T) {
	t.Parallel()
	const messages, topics = 6000, 20
	ctx := context.Background()
	url := pgtest.URL(t)
	publisher := storeOn(t, url)
	done := make(chan struct{})
	var draining sync.WaitGroup
	drains := func() bool {
		select {
		case <-done:
			return false
		default:
			return true
		}
	}
	s := storeOn(t, url)
	draining.Go(func() {
		for drains() {
			if _, err := s.drain(ctx, 0, 50); err != nil {
				t.Error(err)
				return
			}
		}
	})
	pids := make(chan uint32)
	broken := 0
	draining.Go(func() {
		defer close(pids)
		for drains() {
			conn, err := pgx.Connect(ctx, url)
			if err != nil {
				t.Error(err)
				return
			}
			pids <- conn.PgConn().PID()
			victim := newStore(s.schema, conn, nil)
			for drains() {
				if _, err := victim.drain(ctx, 0, 70); err != nil {
					broken++
					break
				}
			}
			_ = conn.Close(ctx)
		}
	})
	killer := connect(t, url)
	draining.Go(func() {
		for pid := range pids {
			// in the middle of a drain, as often as not
			time.Sleep(20 * time.Millisecond)
			if _, err := killer.Exec(ctx, "select pg_terminate_backend($1)", pid); err != nil {
				t.Error(err)
			}
		}
	})
	for n := range messages {
		mustPublish(t, publisher, fmt.Sprint("t", n%topics), "e", fmt.Sprintf(`{"n": %d}`, n), "")
	}
	watcher := connect(t, url)
	for ask[int](t, watcher, "select count(*) from trunkline.outbox") > 0 {
		time.Sleep(time.Millisecond)
	}
	close(done)
	draining.Wait()
	if broken < 5 {
		t.Errorf("the connection was terminated %d times only", broken)
	}
	if wrong := ask[string](t, watcher, gapless); wrong != "" {
		t.Error(wrong)
	}
	disordered := ask[int](t, watcher, fmt.Sprintf(`
		select count(*) from trunkline.messages m join trunkline.topics t on t.id = m.topic_id
		where (m.payload::jsonb->>'n')::int <> (m.id - 1) * %d + substr(t.name, 2)::int`, topics))
	if got := ask[int](t, watcher, "select count(*) from trunkline.messages"); got != messages || disordered != 0 {
		t.Errorf("%d messages, want %d; %d not in their place", got, messages, disordered)
	}
}

// A drain is bounded, in rows and in bytes, and begins above the id given.
func TestDrainIsBounded(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := storeOn(t, pgtest.URL(t))
	payload := `{"a": "` + strings.Repeat("x", 900_000) + `"}`
	for range 12 {
		mustPublish(t, s, "t", "e", payload, "")
	}
	drain := func(after int64, limit, want int) []drained {
		t.Helper()
		rows, err := s.drain(ctx, after, limit)
		if err != nil || len(rows) != want {
			t.Fatalf("%d rows, %v, want %d", len(rows), err, want)
		}
		return rows
	}
	if rows := drain(0, 3, 3); rows[0].outboxID != 1 || rows[2].id != 3 || string(rows[2].payload) != payload {
		t.Errorf("the first drain: %d, %d", rows[0].outboxID, rows[2].id)
	}
	if rows := drain(10, 100, 2); rows[0].outboxID != 11 {
		t.Errorf("above 10: %d", rows[0].outboxID)
	}
	drain(0, 100, 5) // 4 MiB, and what began before that
	drain(0, 100, 2)
	drain(0, 100, 0)
}
