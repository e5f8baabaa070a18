package history

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/trunkline/trunkline/internal/pgtest"
)

// modelOutbox is an outbox with open transactions.
type modelOutbox struct {
	nextXid, nextID int64
	open            map[int64][]int64 // ids by transaction
	committed       []int64           // ids, not drained yet
	drained         []int64
	floor           floor
}

// No row is ever left below the floor, whatever commits when.
func TestFloorLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := &modelOutbox{nextXid: 1, nextID: 1, open: make(map[int64][]int64)}
		drain := func(limit int) {
			slices.Sort(m.committed)
			from, _ := slices.BinarySearch(m.committed, m.floor.id+1)
			if from > 0 {
				t.Fatalf("%v are below the floor %d", m.committed[:from], m.floor.id)
			}
			n := min(limit, len(m.committed))
			newest := int64(0)
			if n > 0 {
				newest = m.committed[n-1]
			}
			m.drained = append(m.drained, m.committed[:n]...)
			m.committed = m.committed[n:]
			m.floor.drained(newest, n < limit)
		}
		pick := func(t *rapid.T) int64 {
			if len(m.open) == 0 {
				t.Skip("no open transaction")
			}
			var xids []int64
			for xid := range m.open {
				xids = append(xids, xid)
			}
			slices.Sort(xids)
			return rapid.SampledFrom(xids).Draw(t, "xid")
		}
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(*rapid.T) {
				m.open[m.nextXid] = nil
				m.nextXid++
			},
			"publish": func(t *rapid.T) {
				xid := pick(t)
				m.open[xid] = append(m.open[xid], m.nextID)
				m.nextID++
			},
			"commit": func(t *rapid.T) {
				xid := pick(t)
				m.committed = append(m.committed, m.open[xid]...)
				delete(m.open, xid)
			},
			"rollback": func(t *rapid.T) { delete(m.open, pick(t)) },
			"observe": func(*rapid.T) {
				oldest := m.nextXid
				for xid := range m.open {
					oldest = min(oldest, xid)
				}
				m.floor.observed(oldest, m.nextXid)
			},
			"drain": func(t *rapid.T) { drain(rapid.IntRange(1, 3).Draw(t, "limit")) },
			"": func(t *rapid.T) {
				if m.floor.id > m.floor.newest {
					t.Fatalf("the floor %d is above what was drained, %d", m.floor.id, m.floor.newest)
				}
			},
		})
		for _, ids := range m.open {
			m.committed = append(m.committed, ids...)
		}
		drain(len(m.committed) + 1)
		for range 2 { // and it does rise once all transactions have ended
			m.floor.observed(m.nextXid, m.nextXid)
			m.floor.observed(m.nextXid, m.nextXid)
			drain(1)
		}
		if m.floor.id != m.floor.newest {
			t.Fatalf("the floor is %d, want %d", m.floor.id, m.floor.newest)
		}
	})
}

// The floor stays below an open transaction's rows, and rises after its end.
func TestFloorInPostgres(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := pgtest.URL(t)
	s, early := storeOn(t, url), connect(t, url)
	r := &relay{log: slog.New(slog.DiscardHandler), deliver: func([]drained) {}, missed: func() {}}
	var f floor
	step := func() (moved bool) {
		t.Helper()
		if err := r.lookForFloor(ctx, s, &f); err != nil {
			t.Fatal(err)
		}
		_, moved, err := r.drain(ctx, s, &f)
		if err != nil {
			t.Fatal(err)
		}
		return moved
	}
	tx := begin(t, early)
	mustPublish(t, newStore(s.schema, tx, nil), "t", "e", `{"n": 1}`, "")
	mustPublish(t, s, "t", "e", `{"n": 2}`, "")
	for i := range 5 {
		if moved := step(); moved != (i == 0) || f.id != 0 {
			t.Errorf("step %d: moved %v, floor %d", i, moved, f.id)
		}
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if !step() {
		t.Error("the late row was left behind")
	}
	for f.id != 2 { // as soon as the transactions of other databases have ended
		if step() || f.id > 2 {
			t.Fatalf("the floor is %d, want 2", f.id)
		}
		time.Sleep(time.Millisecond)
	}
	mustPublish(t, s, "t", "e", `{"n": 3}`, "")
	if !step() {
		t.Error("a row above the floor was left behind")
	}
}
