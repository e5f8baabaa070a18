package sqlview

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"

	"github.com/trunkline/trunkline/internal/dbsqlc"
	"github.com/trunkline/trunkline/internal/pgtest"
	"github.com/trunkline/trunkline/internal/presence"
)

// failing is a database that fails: statements do not reach it, or their
// outcome is not told.
type failing struct {
	db   dbsqlc.DBTX
	err  error
	lose bool // the answer only
}

func (f failing) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if f.lose {
		_, _ = f.db.Exec(ctx, sql, args...)
	}
	return pgconn.CommandTag{}, f.err
}

func (f failing) Query(context.Context, string, ...any) (pgx.Rows, error) { return nil, f.err }

func (f failing) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if f.lose {
		_, _ = f.db.Exec(ctx, sql, args...)
	}
	return noRow{f.err}
}

type noRow struct{ err error }

func (r noRow) Scan(...any) error { return r.err }

var errAway = errors.New("the database is away")

// Two nodes change at random while their statements fail, their lives end and
// tables lose everything. Once it works again the view is what both track.
func TestViewConverges(t *testing.T) {
	t.Parallel()
	db := open(t, pgtest.URL(t))
	rapid.Check(t, func(rt *rapid.T) {
		exec(t, db, crash)
		type place struct {
			n          *node
			owner      presence.Owner
			topic, key string
		}
		nodes := []*node{newNode(t, "a", db), newNode(t, "b", db)}
		model := map[place]string{}
		count := 0
		meta := func() string { count++; return fmt.Sprintf(`{"n": %d}`, count) }
		pick := func(rt *rapid.T) *node { return rapid.SampledFrom(nodes).Draw(rt, "node") }
		some := func(rt *rapid.T) place {
			if len(model) == 0 {
				rt.Skip("nobody is there")
			}
			all := make([]place, 0, len(model))
			for p := range model {
				all = append(all, p)
			}
			slices.SortFunc(all, func(x, y place) int { return slices.Compare([]byte(model[x]), []byte(model[y])) })
			return rapid.SampledFrom(all).Draw(rt, "place")
		}
		rt.Repeat(map[string]func(*rapid.T){
			"track": func(rt *rapid.T) {
				n, topic, key, m := pick(rt), rapid.SampledFrom([]string{"r:1", "r:2"}).Draw(rt, "topic"), rapid.SampledFrom([]string{"k", "l"}).Draw(rt, "key"), meta()
				model[place{n, n.track(t, topic, key, m), topic, key}] = m
			},
			"update": func(rt *rapid.T) {
				p := some(rt)
				model[p] = meta()
				p.n.update(t, p.owner, p.topic, p.key, model[p])
			},
			"untrack": func(rt *rapid.T) {
				p := some(rt)
				delete(model, p)
				p.n.Untrack(p.owner, p.topic, p.key)
			},
			"track again": func(rt *rapid.T) {
				p := some(rt)
				p.n.Untrack(p.owner, p.topic, p.key)
				model[p] = meta()
				if _, err := p.n.Track(p.owner, p.topic, p.key, []byte(model[p])); err != nil {
					rt.Fatal(err)
				}
			},
			"work": func(rt *rapid.T) {
				n := pick(rt)
				n.view.db = rapid.SampledFrom([]dbsqlc.DBTX{db, db, failing{db, errAway, false}, failing{db, errAway, true}}).Draw(rt, "database")
				if rapid.Bool().Draw(rt, "beat") {
					n.view.beaten = time.Time{}
				}
				if err := n.view.work(context.Background(), time.Now()); err != nil && !errors.Is(err, errAway) {
					rt.Fatal(err)
				}
			},
			// Seldom: it has everything written anew, and so hides what was lost.
			"disaster": func(rt *rapid.T) {
				switch rapid.IntRange(0, 19).Draw(rt, "disaster") {
				case 0:
					exec(t, db, die, pick(rt).view.node)
				case 1:
					exec(t, db, crash)
				}
			},
		})
		for range 2 { // the second writes what the first found missing
			for _, n := range nodes {
				n.view.db = db
				n.beat(t)
			}
		}
		var want []string
		for p, m := range model {
			want = append(want, fmt.Sprintf("%s %s %s %s", p.topic, p.key, p.n.view.node, m))
		}
		slices.Sort(want)
		got, err := seen(db)
		if err != nil || !slices.Equal(got, want) {
			rt.Fatalf("the view has %q, want %q; %v", got, want, err)
		}
		if stored := ask[int](t, db, countMembers); stored != len(want) {
			rt.Fatalf("%d rows are stored, want %d", stored, len(want))
		}
		if waiting := nodes[0].view.members.waiting() + nodes[1].view.members.waiting(); waiting != 0 {
			rt.Fatalf("%d changes wait", waiting)
		}
	})
}

// A write that began in time and ends late is neither waited for nor left behind
// by who deletes the node's rows.
func TestLateWriteIsDeleted(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := open(t, pgtest.URL(t))
	n := newNode(t, "a", db)
	n.track(t, "room:1", "ann", `{}`)
	n.work(t)
	tx, err := db.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	n.view.db = tx
	n.track(t, "room:1", "bob", `{}`)
	n.work(t)
	exec(t, db, die, "a")
	expire := func(want int64) {
		t.Helper()
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		if rows, err := dbsqlc.New().ExpirePresences(ctx, db, 1000); err != nil || rows != want {
			t.Errorf("%d rows deleted, want %d; %v", rows, want, err)
		}
	}
	expire(0)
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	expire(2)
	if rows, lives := ask[int](t, db, countMembers), ask[int](t, db, countLives); rows+lives != 0 {
		t.Errorf("%d rows and %d lives are left", rows, lives)
	}
}

// Nodes write while others delete what they take for dead: no row outlives its
// life, and everything is there in the end.
func TestWritersAndSweepers(t *testing.T) {
	t.Parallel()
	db := open(t, pgtest.URL(t))
	const rounds, perRound = 20, 40
	var nodes sync.WaitGroup
	stop := make(chan struct{})
	nodes.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				exec(t, db, die, "a")
				_, err := dbsqlc.New().ExpirePresences(context.Background(), db, 25)
				if err != nil {
					t.Error(err)
				}
			}
		}
	})
	a := newNode(t, "a", db)
	for round := range rounds {
		for i := range perRound {
			a.track(t, "room:1", many(round*perRound+i), `{}`)
		}
		a.work(t)
	}
	close(stop)
	nodes.Wait()
	a.beat(t)
	a.beat(t)
	if rows := ask[int](t, db, "select count(*) from trunkline.presence"); rows != rounds*perRound {
		t.Errorf("%d rows in the view, want %d", rows, rounds*perRound)
	}
	if rows := ask[int](t, db, countMembers); rows != rounds*perRound {
		t.Errorf("%d rows are stored, want %d", rows, rounds*perRound)
	}
}
