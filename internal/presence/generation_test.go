package presence

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

func deltaKeys(d *Delta) []string {
	var names []string
	for _, of := range d.Values {
		for _, e := range of {
			names = append(names, e.Key)
		}
	}
	slices.Sort(names)
	return names
}

// wantGenerations wants keys and clouds of each generation, as "keys clouds".
func wantGenerations(t *testing.T, what string, g *Generations, want ...string) {
	t.Helper()
	for i, d := range g.deltas {
		checkDelta(t, d)
		clouds := ""
		for _, r := range d.Range.End.Replicas() {
			clouds += fmt.Sprintf(" %s%v", r.Name, d.Clouds[r])
		}
		if got := fmt.Sprintf("%v%s", deltaKeys(d), clouds); got != want[i] {
			t.Errorf("%s: generation %d has %s, want %s", what, i, got, want[i])
		}
	}
}

func TestGenerations(t *testing.T) {
	t.Parallel()
	g := NewGenerations(2, 5, 6)
	a, b := NewState(replica("a")), NewState(replica("b"))

	join(t, a, 1, "lobby", "user1")
	d := a.ResetDelta()
	g.Push(d)
	wantGenerations(t, "the first", g, "[user1] a[{1 1}]", "[user1] a[{1 1}]", "[user1] a[{1 1}]")
	g.Push(d)
	wantGenerations(t, "a duplicate", g, "[user1] a[{1 1}]", "[user1] a[{1 1}]", "[user1] a[{1 1}]")

	join(t, a, 2, "lobby", "user2")
	g.Push(a.ResetDelta())
	wantGenerations(t, "the smallest outgrown", g, "[user2] a[{2 2}]", "[user1 user2] a[{1 2}]", "[user1 user2] a[{1 2}]")
	join(t, a, 3, "lobby", "user3")
	g.Push(a.ResetDelta())
	wantGenerations(t, "the second too", g, "[user3] a[{3 3}]", "[user2 user3] a[{2 3}]", "[user1 user2 user3] a[{1 3}]")
	join(t, a, 4, "lobby", "user4")
	g.Push(a.ResetDelta())
	wantGenerations(t, "all", g, "[user4] a[{4 4}]", "[user3 user4] a[{3 4}]", "[user2 user3 user4] a[{2 4}]")

	join(t, b, 5, "lobby", "user5")
	g.Push(b.ResetDelta())
	wantGenerations(t, "another replica's", g,
		"[user5] b[{1 1}]", "[user4 user5] a[{4 4}] b[{1 1}]", "[user3 user4 user5] a[{3 4}] b[{1 1}]")
	b.LeaveOwner(5)
	g.Push(b.ResetDelta())
	wantGenerations(t, "a remove", g, "[] b[{1 2}]", "[user4] a[{4 4}] b[{1 2}]", "[user3 user4] a[{3 4}] b[{1 2}]")

	g.RemoveDownReplicas(b.replica)
	wantGenerations(t, "without b", g, "[]", "[user4] a[{4 4}]", "[user3 user4] a[{3 4}]")
}

func TestDeltasThatAreNotContiguous(t *testing.T) {
	t.Parallel()
	a, b := NewState(replica("a")), NewState(replica("b"))
	var deltas []*Delta
	for i := range 4 {
		join(t, a, Owner(i), "lobby", fmt.Sprintf("user%d", i+1))
		deltas = append(deltas, a.ResetDelta())
	}
	join(t, b, 1, "lobby", "bob")
	bobs := b.ResetDelta()

	d := deltas[0].clone()
	if err := d.Merge(deltas[2]); !errors.Is(err, ErrNotContiguous) || d.Size() != 2 || d.Range.End[a.replica] != 1 {
		t.Fatalf("a gap above: %v, %+v", err, d)
	}
	d = deltas[2].clone()
	if err := d.Merge(deltas[0]); !errors.Is(err, ErrNotContiguous) || d.Size() != 2 {
		t.Fatalf("a gap below: %v, %+v", err, d)
	}
	if err := errors.Join(d.Merge(deltas[1]), d.Merge(deltas[1]), d.Merge(deltas[3]), d.Merge(bobs)); err != nil {
		t.Fatalf("below, twice, above, another replica: %v", err)
	}
	if r := d.Range; r.Start[a.replica] != 1 || r.End[a.replica] != 4 || r.Start[b.replica] != 0 || r.End[b.replica] != 1 || d.Size() != 8 {
		t.Fatalf("merged to %+v", d)
	}

	g := NewGenerations(100, 200)
	g.Push(bobs)
	g.Push(deltas[2])
	g.Push(deltas[0])
	wantGenerations(t, "an older one", g, "[bob user3] a[{3 3}] b[{1 1}]", "[bob user3] a[{3 3}] b[{1 1}]")
	g = NewGenerations(100, 200)
	g.Push(bobs)
	g.Push(deltas[0])
	g.Push(deltas[2])
	wantGenerations(t, "a newer one", g, "[bob user3] a[{3 3}] b[{1 1}]", "[bob user3] a[{3 3}] b[{1 1}]")
}

// transfer extracts what asker lacks and gives it to it; the size of what was
// sent, and the keys that joined and left.
func transfer(t must, from *State, g *Generations, asker *State) (d *Delta, joined, left []string) {
	t.Helper()
	d = from.Extract(g, asker.replica, asker.Clocks().Context)
	checkDelta(t, d)
	joins, leaves := asker.Merge(d)
	return d, keys(joins), keys(leaves)
}

func TestExtract(t *testing.T) {
	t.Parallel()
	a, b, c := NewState(replica("a")), NewState(replica("b")), NewState(replica("c"))
	introduce(a, b, c)
	g := NewGenerations(4, 12)
	broadcast := func(to ...*State) {
		d := a.ResetDelta()
		g.Push(d)
		for _, s := range to {
			s.Merge(d)
		}
	}
	for i := range 10 {
		join(t, a, Owner(i), "lobby", fmt.Sprint("user", i))
		broadcast()
	}
	behind := clone(b)

	d, joined, _ := transfer(t, a, g, b)
	if len(joined) != 10 || d.Range.Start[a.replica] != 0 || b.context[a.replica] != 10 {
		t.Fatalf("no generation fits, yet %+v joins %v", d, joined)
	}
	if d, _, _ = transfer(t, a, g, b); !d.Empty() {
		t.Fatalf("nothing new, yet %+v", d)
	}

	a.LeaveOwner(3)
	broadcast()
	join(t, a, 11, "lobby", "late")
	broadcast()
	d, joined, left := transfer(t, a, g, b)
	if !slices.Equal(joined, []string{"late"}) || !slices.Equal(left, []string{"user3"}) {
		t.Fatalf("joined %v, left %v", joined, left)
	}
	if d.Range.Start[a.replica] > 10 || d.Range.End[a.replica] != 12 {
		t.Fatalf("range %v", d.Range)
	}

	join(t, a, 12, "lobby", "pending")
	if d, _, _ = transfer(t, a, g, b); !d.Empty() {
		t.Fatalf("what the next delta tells is told twice: %+v", d)
	}

	// Behind for longer than any generation: from the state, and no more than
	// is needed. c has all but the last four changes.
	c.Merge(whole(b))
	for i := range 8 {
		a.LeaveOwner(Owner(i))
		broadcast()
	}
	d, joined, left = transfer(t, a, g, c)
	if d.Range.Start[a.replica] != 12 || d.Values.Len() != 1 || !slices.Equal(joined, []string{"pending"}) || len(left) != 7 {
		t.Fatalf("sent %+v, joined %v, left %v", d, joined, left)
	}
	wantKeys(t, "c", c.OnlineList(), keys(a.OnlineList())...)

	// Through a third one, to one that was away all the time.
	d, _, _ = transfer(t, c, NewGenerations(), behind)
	if d.Values.Len() != 4 || behind.context[a.replica] != a.context[a.replica] {
		t.Fatalf("sent %+v", d)
	}
	wantKeys(t, "one that was away", behind.OnlineList(), keys(a.OnlineList())...)
}

// A generation that brings the asker on, but not up to what is known, would
// make it ask again.
func TestExtractTakesAGenerationOnlyIfItTellsAll(t *testing.T) {
	t.Parallel()
	a, b := NewState(replica("a")), NewState(replica("b"))
	introduce(a, b)
	join(t, a, 1, "lobby", "alice")
	first := a.ResetDelta()
	join(t, a, 2, "lobby", "bob")
	a.ResetDelta()
	g := NewGenerations()
	g.Push(first)
	_, joined, _ := transfer(t, a, g, b)
	if !slices.Equal(joined, []string{"alice", "bob"}) {
		t.Fatalf("%v joined", joined)
	}
}

func TestExtractTellsOnlyWhatTheAskerTakes(t *testing.T) {
	t.Parallel()
	a, b, c := NewState(replica("a")), NewState(replica("b")), NewState(replica("c"))
	introduce(a, b, c)
	for i, s := range []*State{a, b, c} {
		join(t, s, 1, "lobby", fmt.Sprint("user", i))
	}
	a.Merge(b.ResetDelta())
	a.Merge(c.ResetDelta())
	a.ResetDelta()

	d := a.Extract(NewGenerations(), b.replica, clocks("a", 1, "b", 0))
	if !d.Empty() {
		t.Fatalf("b is told of itself, or of c which it does not know: %+v", d)
	}
	// b holds c for down: its clock does not tell of c, and must not get to
	// know c's clock without c's entries.
	b.ReplicaDown(c.replica)
	transfer(t, a, NewGenerations(), b)
	b.ReplicaUp(c.replica)
	_, joined, _ := transfer(t, a, NewGenerations(), b)
	if !slices.Equal(joined, []string{"user2"}) {
		t.Fatalf("after c is up again, %v joined", joined)
	}
}
