package sqlview

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trunkline/trunkline/internal/devdb"
	"github.com/trunkline/trunkline/internal/pgtest"
	"github.com/trunkline/trunkline/internal/presence"
)

// Two nodes that run: a join, an update and a leave show within 2 s each, and a
// node that stops is gone with all its rows when Run returns.
func TestRunShowsChanges(t *testing.T) {
	t.Parallel()
	db := open(t, pgtest.URL(t))
	a, b := newNode(t, "a", db), newNode(t, "b", db)
	stopA, stopB := a.run(t), b.run(t)
	defer stopB()
	const within = 2 * time.Second

	phone := a.track(t, "room:1", "ann", `{"device":"phone"}`)
	b.track(t, "room:1", "ann", `{"device":"tablet"}`)
	b.track(t, "room:2", "bob", `{}`)
	others := []string{`room:1 ann b {"device": "tablet"}`, `room:2 bob b {}`}
	waitSeen(t, db, within, slices.Concat([]string{`room:1 ann a {"device": "phone"}`}, others)...)
	at := ask[time.Time](t, db, "select online_at from trunkline.presence where node = 'a'")
	if age := time.Since(at); age < 0 || age > within+time.Second {
		t.Errorf("online_at is %v ago", age)
	}

	a.update(t, phone, "room:1", "ann", `{"device":"phone","typing":true}`)
	waitSeen(t, db, within, slices.Concat([]string{`room:1 ann a {"device": "phone", "typing": true}`}, others)...)
	if now := ask[time.Time](t, db, "select online_at from trunkline.presence where node = 'a'"); !now.Equal(at) {
		t.Errorf("online_at was %v and is %v after the update", at, now)
	}
	if ref := ask[string](t, db, "select meta->>'phx_ref' from trunkline.presence where node = 'a'"); len(ref) != 16 {
		t.Errorf("phx_ref is %q", ref)
	}

	a.Untrack(phone, "room:1", "ann")
	waitSeen(t, db, within, others...)

	a.track(t, "room:1", "eve", `{}`)
	waitSeen(t, db, within, `room:1 ann b {"device": "tablet"}`, `room:1 eve a {}`, `room:2 bob b {}`)
	stopA()
	wantSeen(t, db, others...)
	if left := ask[int](t, db, "select count(*) from trunkline.presence_members where key = 'eve'"); left != 0 {
		t.Errorf("%d rows of a stopped node are left", left)
	}
}

// A node that nobody is tracked on has no row, and sends next to nothing.
func TestIdleNodeWritesNothing(t *testing.T) {
	t.Parallel()
	db := open(t, pgtest.URL(t))
	n := newNode(t, "a", db)
	for range 10 {
		n.work(t)
	}
	n.Untrack(n.track(t, "room:1", "ann", `{}`), "room:1", "ann")
	n.work(t)
	if lives := ask[int](t, db, countLives); lives != 0 {
		t.Errorf("%d rows", lives)
	}
	if all := n.statements("expire"); all != 1 || n.statements("write")+n.statements("begin")+n.statements("beat") != 0 {
		t.Errorf("%d statements that look for dead nodes, want 1, and no other", all)
	}
}

// What came and went between two writes is not written, and several updates are
// one.
func TestChangesCoalesce(t *testing.T) {
	t.Parallel()
	db := open(t, pgtest.URL(t))
	n := newNode(t, "a", db)
	ann := n.track(t, "room:1", "ann", `{}`)
	n.work(t)
	for i := range 50 {
		n.Untrack(n.track(t, "room:1", "bob", `{}`), "room:1", "bob")
		n.update(t, ann, "room:1", "ann", fmt.Sprintf(`{"n":%d}`, i))
	}
	if waiting := n.view.members.waiting(); waiting != 1 {
		t.Errorf("%d changes wait, want 1", waiting)
	}
	n.work(t)
	n.work(t)
	wantSeen(t, db, `room:1 ann a {"n": 49}`)
	if writes := n.statements("write"); writes != 2 {
		t.Errorf("%d writes, want 2", writes)
	}
	// Somebody who leaves and comes back is online since then.
	n.Untrack(ann, "room:1", "ann")
	if _, err := n.Track(ann, "room:1", "ann", json.RawMessage(`{"back":true}`)); err != nil {
		t.Fatal(err)
	}
	n.work(t)
	wantSeen(t, db, `room:1 ann a {"back": true}`)
}

// 5,000 joins within 10 s cost one statement a second, and two heartbeats.
func TestJoinStormIsBatched(t *testing.T) {
	t.Parallel()
	db := open(t, pgtest.URL(t))
	n := newNode(t, "a", db)
	for second := range 10 {
		for i := range 500 {
			n.track(t, "room:1", many(second*500+i), `{"device":"phone"}`)
		}
		n.view.beaten = n.view.beaten.Add(-time.Second)
		n.work(t)
	}
	if rows := ask[int](t, db, "select count(*) from trunkline.presence"); rows != 5000 {
		t.Errorf("%d rows", rows)
	}
	got := map[string]int{}
	for _, kind := range []string{"begin", "write", "beat", "expire"} {
		got[kind] = n.statements(kind)
	}
	if got["begin"] != 1 || got["write"] != 10 || got["beat"] > 3 || got["expire"] > 3 {
		t.Errorf("statements: %v, want 10 writes", got)
	}
	// At once they are five statements; as many metas of 64 kB are more.
	for i := range 5000 {
		n.track(t, "room:2", many(i), `{}`)
	}
	n.work(t)
	if writes := n.statements("write") - 10; writes != 5 {
		t.Errorf("%d statements for 5,000 changes, want 5", writes)
	}
	large := `{"large":"` + strings.Repeat("x", presence.MaxMeta-100) + `"}`
	for i := range 100 {
		n.track(t, "room:3", many(i), large)
	}
	n.work(t)
	n.work(t)
	for n.view.members.waiting() > 0 {
		n.work(t)
	}
	if writes := n.statements("write") - 15; writes < 6 || writes > 8 {
		t.Errorf("%d statements for 6.4 MB, want about 1 MiB each", writes)
	}
}

// A killed node is invisible when its heartbeat is 15 s old; any other deletes
// its rows. If it was only asleep, it comes back with all of them.
func TestDeadNode(t *testing.T) {
	t.Parallel()
	db := open(t, pgtest.URL(t))
	dead, alive := newNode(t, "dead", db), newNode(t, "alive", db)
	for i := range 2500 {
		dead.track(t, "room:1", many(i), `{}`)
	}
	ann := dead.track(t, "room:2", "ann", `{}`)
	alive.track(t, "room:2", "bob", `{}`)
	dead.work(t)
	alive.work(t)

	exec(t, db, "update trunkline.presence_nodes set beat_at = now() - interval '14 seconds' where node = 'dead'")
	if rows := ask[int](t, db, "select count(*) from trunkline.presence"); rows != 2502 {
		t.Fatalf("%d rows while both live", rows)
	}
	exec(t, db, die, "dead")
	wantSeen(t, db, "room:2 bob alive {}")
	if rows := ask[int](t, db, countMembers); rows != 2502 {
		t.Fatalf("%d rows are stored", rows)
	}
	alive.beat(t)
	if rows, lives := ask[int](t, db, countMembers), ask[int](t, db, countLives); rows != 1 || lives != 1 {
		t.Errorf("%d rows and %d lives are left, want 1 and 1", rows, lives)
	}
	if expires := alive.statements("expire"); expires != 4 {
		t.Errorf("%d statements, want 1 and then 3 of at most 1000 rows", expires)
	}

	dead.Untrack(ann, "room:2", "ann")
	dead.work(t) // finds that nobody sees it
	dead.work(t)
	if rows := ask[int](t, db, "select count(*) from trunkline.presence where node = 'dead'"); rows != 2500 {
		t.Errorf("%d rows after it woke up", rows)
	}
}

// A life that is over does not begin again by a late heartbeat or write.
func TestLifeThatIsOver(t *testing.T) {
	t.Parallel()
	for name, work := range map[string]func(*node, testing.TB){
		"beat":  func(n *node, t testing.TB) { n.beat(t) },
		"write": func(n *node, t testing.TB) { n.track(t, "room:1", "bob", `{}`); n.work(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t, pgtest.URL(t))
			n := newNode(t, "a", db)
			ann := n.track(t, "room:1", "ann", `{}`)
			n.work(t)
			exec(t, db, die, "a")
			first := n.view.incarnation
			n.Untrack(ann, "room:1", "ann")
			eve := n.track(t, "room:1", "eve", `{}`)
			work(n, t)
			n.work(t)
			if n.view.incarnation == first || !n.view.incarnation.Valid {
				t.Errorf("the life is %v as before", first)
			}
			if rows := ask[int](t, db, "select count(*) from trunkline.presence_members where incarnation = $1 and key <> 'ann'", first); rows != 0 {
				t.Errorf("%d rows were written under a life that was over", rows)
			}
			if eves := ask[int](t, db, "select count(*) from trunkline.presence where key = 'eve'"); eves != 1 {
				t.Errorf("eve is there %d times", eves)
			}
			if anns := ask[int](t, db, "select count(*) from trunkline.presence where key = 'ann'"); anns != 0 {
				t.Error("ann has left and is in the view")
			}
			n.UntrackOwner(eve)
		})
	}
}

// While Postgres is away nothing piles up. When it is back after a crash, which
// empties the tables, the node's rows are what they should be.
func TestPostgresCrash(t *testing.T) {
	t.Parallel()
	server := pgtest.Server(t)
	pgtest.Migrate(t, server.URL())
	db := open(t, server.URL())
	n := newNode(t, "a", db)
	defer n.run(t)()
	ann, bob := n.track(t, "room:1", "ann", `{}`), n.track(t, "room:1", "bob", `{}`)
	waitSeen(t, db, 2*time.Second, "room:1 ann a {}", "room:1 bob a {}")

	if err := server.StopServer(t.Context(), devdb.Immediate); err != nil {
		t.Fatal(err)
	}
	failed := n.statements("write") + 2
	n.Untrack(ann, "room:1", "ann")
	n.update(t, bob, "room:1", "bob", `{"typing":true}`)
	for deadline := time.Now().Add(30 * time.Second); n.statements("write") < failed; {
		for i := range 100 {
			n.UntrackOwner(n.track(t, "room:2", many(i), `{}`))
		}
		if waiting := n.view.members.waiting(); waiting > 200 {
			t.Fatalf("%d changes wait", waiting)
		}
		if time.Now().After(deadline) {
			t.Fatal("it does not try")
		}
		time.Sleep(20 * time.Millisecond)
	}
	n.track(t, "room:1", "eve", `{}`)
	if err := server.StartServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitSeen(t, db, 10*time.Second, `room:1 bob a {"typing": true}`, "room:1 eve a {}")
}

// What Postgres cannot hold costs its own row at most.
func TestWhatPostgresCannotHold(t *testing.T) {
	t.Parallel()
	databaseURL := pgtest.URL(t)
	admin := open(t, databaseURL)
	exec(t, admin, "alter database "+admin.Config().ConnConfig.Database+" set max_stack_depth = '100kB'") // the least
	db := open(t, databaseURL)
	n := newNode(t, "a", db)
	n.track(t, "room:1", "nul", `{"a":"\u0000"}`)
	n.track(t, "room:1", "surrogate", `{"a":"\ud800"}`)
	n.track(t, "room:1", "number", `{"a":1e999999}`)
	n.track(t, "room:1", "deep", `{"a":`+strings.Repeat("[", 9000)+strings.Repeat("]", 9000)+`}`)
	n.track(t, "room:1", "plain", `{"a":"\\u0000 é"}`)
	nul := n.track(t, "room:\x00", "k", `{}`)
	n.track(t, "room:1", "k\x00", `{}`)
	n.track(t, strings.Repeat("t", presence.MaxTopic), strings.Repeat("k", presence.MaxKey), `{}`)
	n.UntrackOwner(nul)
	n.work(t)
	if rows := ask[int](t, db, "select count(*) from trunkline.presence"); rows != 6 {
		t.Errorf("%d rows, want 6", rows)
	}
	for key, want := range map[string]bool{"nul": true, "surrogate": true, "number": true, "deep": true, "plain": false} {
		if null := ask[bool](t, db, "select meta is null from trunkline.presence where key = $1", key); null != want {
			t.Errorf("the meta of %s is null: %v", key, null)
		}
	}
	if a := ask[string](t, db, "select meta->>'a' from trunkline.presence where key = 'plain'"); a != `\u0000 é` {
		t.Errorf("meta has %q", a)
	}
}

// An application's role reads the view, and only that, and joins it to tables of
// its own.
func TestApplicationJoins(t *testing.T) {
	t.Parallel()
	databaseURL := pgtest.URL(t)
	db := open(t, databaseURL)
	n := newNode(t, "a", db)
	n.track(t, "room:lobby", "1", `{"device":"phone"}`)
	n.track(t, "room:lobby", "1", `{"device":"tablet"}`)
	n.track(t, "room:other", "2", `{}`)
	n.work(t)

	role := db.Config().ConnConfig.Database + "_app"
	exec(t, db, "create role "+role+" login")
	t.Cleanup(func() { exec(t, db, "drop owned by "+role+" cascade; drop role "+role) })
	exec(t, db, "create table users (id int, name text); insert into users values (1, 'Ann'), (2, 'Bob')")
	exec(t, db, "grant usage on schema trunkline to "+role+"; grant select on trunkline.presence, users to "+role)
	parsed, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	parsed.User = url.User(role)
	app := open(t, parsed.String())

	rows, err := app.Query(t.Context(), `
		select u.name || ' on ' || count(*) || ' devices'
		from users u join trunkline.presence p on p.topic = 'room:lobby' and p.key = u.id::text
		group by u.name`)
	if err != nil {
		t.Fatal(err)
	}
	there, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || !slices.Equal(there, []string{"Ann on 2 devices"}) {
		t.Errorf("in the lobby: %v, %v", there, err)
	}
	absent := ask[string](t, app, `
		select string_agg(u.name, ',') from users u
		where not exists (select from trunkline.presence p where p.topic = 'room:lobby' and p.key = u.id::text)`)
	if absent != "Bob" {
		t.Errorf("not in the lobby: %q", absent)
	}
	if _, err := app.Exec(t.Context(), countMembers); err == nil {
		t.Error("the role reads the table")
	}
}

func TestNewChecksItsConfig(t *testing.T) {
	t.Parallel()
	if _, err := New(Config{Node: "a"}); err == nil {
		t.Error("New without DB succeeded")
	}
	if _, err := New(Config{DB: failing{err: errors.New("no")}, Node: "a", Schema: "No Schema"}); err == nil || !strings.Contains(err.Error(), "No Schema") {
		t.Errorf("New with a bad schema: %v", err)
	}
}
