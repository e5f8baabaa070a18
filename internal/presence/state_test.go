package presence

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
)

func TestANewStateIsEmpty(t *testing.T) {
	t.Parallel()
	a := NewState(replica("a"))
	if a.Len() != 0 || a.HasDelta() || a.Replica() != replica("a") {
		t.Fatalf("not empty: %+v", a)
	}
	wantKeys(t, "list", a.OnlineList())
	if c := a.Clocks(); c.Replica != replica("a") || len(c.Context) != 1 || c.Context[replica("a")] != 0 {
		t.Fatalf("clocks %v", c)
	}
}

func TestJoinAndLeave(t *testing.T) {
	t.Parallel()
	a := NewState(replica("a"))
	join(t, a, 1, "lobby", "john")
	join(t, a, 1, "lobby", "johnny")
	join(t, a, 1, "other", "john")
	join(t, a, 2, "lobby", "john")
	wantKeys(t, "several keys of an owner, several owners of a key", a.GetByTopic("lobby"), "john", "john*2", "johnny")
	wantKeys(t, "by key", a.GetByKey("lobby", "john"), "john", "john*2")
	wantKeys(t, "by a key that only begins so", a.GetByKey("lobby", "joh"))
	wantKeys(t, "by owner", a.GetByOwner(1), "john", "johnny", "john")
	wantKeys(t, "all", a.OnlineList(), "john", "john*2", "johnny", "john")

	if _, err := a.Join(1, "lobby", "john", nil); !errors.Is(err, ErrAlreadyTracked) {
		t.Fatalf("joined twice: %v", err)
	}
	if _, ok := a.Leave(1, "nowhere", "john"); ok {
		t.Fatal("left what it had not joined")
	}
	if clock := a.Clocks().Context[a.replica]; clock != 4 {
		t.Fatalf("clock %d after 4 joins, and 2 changes that were none", clock)
	}
	left, ok := a.Leave(1, "lobby", "john")
	if !ok || left.Key != "john" || left.Owner != 1 {
		t.Fatalf("left %+v", left)
	}
	wantKeys(t, "after the leave", a.GetByTopic("lobby"), "john", "johnny")
	wantKeys(t, "leave of an owner", a.LeaveOwner(1), "johnny", "john")
	wantKeys(t, "leave of an owner that is nowhere", a.LeaveOwner(1))
	wantKeys(t, "the rest", a.OnlineList(), "john")
	if clock := a.Clocks().Context[a.replica]; clock != 7 {
		t.Fatalf("clock %d, each remove is a tick", clock)
	}
	checkInvariants(t, a)
}

func TestAnUpdateIsARemoveAndAnAdd(t *testing.T) {
	t.Parallel()
	a, b := NewState(replica("a")), NewState(replica("b"))
	introduce(a, b)
	old := join(t, a, 1, "lobby", "john")
	b.Merge(a.ResetDelta())

	if _, _, err := a.LeaveJoin(2, "lobby", "john", nil); !errors.Is(err, ErrNoPresence) {
		t.Fatalf("updated what is not there: %v", err)
	}
	joined, left, err := a.LeaveJoin(1, "lobby", "john", json.RawMessage(`{"new":true}`))
	if err != nil || left != old || joined.Tag.Clock != 3 {
		t.Fatalf("joined %+v, left %+v, %v", joined, left, err)
	}
	joins, leaves := b.Merge(a.ResetDelta())
	if !slices.Equal(joins, []*Entry{joined}) || !slices.Equal(leaves, []*Entry{old}) {
		t.Fatalf("joins %v, leaves %v", joins, leaves)
	}
	wantSame(t, "list of b", b, mergedInto(NewState(b.replica), a, b))
}

// mergedInto gives s what the others know, their replicas being up.
func mergedInto(s *State, others ...*State) *State {
	introduce(append([]*State{s}, others...)...)
	for _, o := range others {
		s.Merge(whole(o))
	}
	return s
}

func TestMergeReportsWhatChanges(t *testing.T) {
	t.Parallel()
	a, b := NewState(replica("a")), NewState(replica("b"))
	introduce(a, b)
	join(t, a, 1, "lobby", "alice")
	join(t, b, 1, "lobby", "bob")

	merge := func(into, from *State, joined, left []string) {
		t.Helper()
		joins, leaves := into.Merge(whole(from))
		wantKeys(t, "joins", joins, joined...)
		wantKeys(t, "leaves", leaves, left...)
		before := clone(into)
		if joins, leaves = into.Merge(whole(from)); len(joins)+len(leaves) > 0 {
			t.Fatalf("the second time: joins %v, leaves %v", keys(joins), keys(leaves))
		}
		wantSame(t, "the second time", into, before)
	}
	merge(a, b, []string{"bob"}, nil)
	wantKeys(t, "a", a.OnlineList(), "alice", "bob")
	merge(b, a, []string{"alice"}, nil)
	a.Leave(1, "lobby", "alice")
	merge(b, a, nil, []string{"alice"})
	wantKeys(t, "b", b.OnlineList(), "bob")
	join(t, b, 2, "lobby", "carol")
	merge(a, b, []string{"carol"}, nil)
	if !slices.Equal(a.OnlineList(), b.OnlineList()) {
		t.Fatalf("a has %v, b has %v", keys(a.OnlineList()), keys(b.OnlineList()))
	}
	if len(a.owners) != 0 || len(b.owners) != 2 {
		t.Fatalf("an index by owner holds others' entries: %v, %v", a.owners, b.owners)
	}
}

func TestOnlyKnownReplicasAreTakenOver(t *testing.T) {
	t.Parallel()
	a, b, c := NewState(replica("a")), NewState(replica("b")), NewState(replica("c"))
	introduce(b, c)
	introduce(a, b)
	join(t, b, 1, "lobby", "bob")
	join(t, c, 1, "lobby", "carol")
	b.Merge(whole(c))
	joins, _ := a.Merge(whole(b))
	wantKeys(t, "joins", joins, "bob")
	if _, ok := a.context[c.replica]; ok || len(a.clouds) > 0 {
		t.Fatalf("a learned of c: %v, %v", a.context, a.clouds)
	}
	a.ReplicaUp(c.replica)
	joins, _ = a.Merge(whole(b))
	wantKeys(t, "joins through a third replica", joins, "carol")
	c.Leave(1, "lobby", "carol")
	b.Merge(whole(c))
	_, leaves := a.Merge(whole(b))
	wantKeys(t, "leaves through a third replica", leaves, "carol")
}

func TestOwnEntriesAreNeverRemovedByAMerge(t *testing.T) {
	t.Parallel()
	a, b := NewState(replica("a")), NewState(replica("b"))
	introduce(a, b)
	join(t, a, 1, "lobby", "alice")
	lie := newDelta()
	lie.addTag(Tag{a.replica, 1})
	lie.addTag(Tag{a.replica, 7})
	if joins, leaves := a.Merge(lie); len(joins)+len(leaves) > 0 || a.context[a.replica] != 1 || len(a.clouds) > 0 {
		t.Fatalf("joins %v, leaves %v, context %v", joins, leaves, a.context)
	}
	wantKeys(t, "a", a.OnlineList(), "alice")
}

func TestANetsplit(t *testing.T) {
	t.Parallel()
	a, b := NewState(replica("a")), NewState(replica("b"))
	introduce(a, b)
	join(t, a, 1, "lobby", "alice")
	join(t, b, 1, "lobby", "bob")
	a.Merge(whole(b))
	join(t, a, 2, "lobby", "carol")
	a.Leave(1, "lobby", "alice")
	join(t, a, 3, "lobby", "david")

	wantKeys(t, "leaves", a.ReplicaDown(b.replica), "bob")
	wantKeys(t, "down twice", a.ReplicaDown(b.replica))
	wantKeys(t, "while b is down", a.GetByTopic("lobby"), "carol", "david")
	wantKeys(t, "by key", a.GetByKey("lobby", "bob"))
	wantKeys(t, "all", a.OnlineList(), "carol", "david")
	if _, told := a.Clocks().Context[b.replica]; told {
		t.Fatal("the clock tells of a replica that is down")
	}
	join(t, b, 2, "lobby", "beth")
	b.Leave(1, "lobby", "bob")
	if joins, leaves := a.Merge(whole(b)); len(joins)+len(leaves) > 0 {
		t.Fatalf("changes of a replica that is down: %v, %v", keys(joins), keys(leaves))
	}
	wantKeys(t, "up again", a.ReplicaUp(b.replica), "beth")
	wantKeys(t, "up twice", a.ReplicaUp(b.replica))
	wantKeys(t, "after it", a.GetByTopic("lobby"), "beth", "carol", "david")
}

func TestPermanentlyDown(t *testing.T) {
	t.Parallel()
	a, b := NewState(replica("a")), NewState(replica("b"))
	introduce(a, b)
	join(t, a, 1, "lobby", "alice")
	join(t, b, 1, "lobby", "bob")
	b.Merge(whole(a))

	for _, downFirst := range []bool{true, false} {
		b := clone(b)
		if downFirst {
			wantKeys(t, "down", b.ReplicaDown(a.replica), "alice")
			wantKeys(t, "permanently down after down", b.RemoveDownReplicas(a.replica))
		} else {
			wantKeys(t, "permanently down at once", b.RemoveDownReplicas(a.replica), "alice")
		}
		checkInvariants(t, b)
		wantKeys(t, "b", b.OnlineList(), "bob")
		wantKeys(t, "up again", b.ReplicaUp(a.replica))
		joins, _ := b.Merge(whole(a))
		wantKeys(t, "heard of anew", joins, "alice")
	}
	if left := b.RemoveDownReplicas(b.replica); left != nil || b.ReplicaDown(b.replica) != nil || len(b.OnlineList()) != 2 {
		t.Fatal("a replica gave itself up")
	}
	if b.ReplicaDown(replica("stranger")) != nil || len(b.down) != 0 {
		t.Fatal("a replica that was never known is down")
	}
}

func TestDeltas(t *testing.T) {
	t.Parallel()
	a, b := NewState(replica("a")), NewState(replica("b"))
	introduce(a, b)
	join(t, a, 1, "lobby", "alice")
	joined := a.ResetDelta()
	if a.HasDelta() || joined.Range.Start[a.replica] != 0 || joined.Range.End[a.replica] != 1 {
		t.Fatalf("range %v, a new delta with something: %v", joined.Range, a.HasDelta())
	}
	joins, _ := b.Merge(joined)
	wantKeys(t, "joins", joins, "alice")

	a.Leave(1, "lobby", "alice")
	if !a.HasDelta() {
		t.Fatal("a leave gives no delta")
	}
	left := a.ResetDelta()
	join(t, a, 1, "lobby", "alice")
	again := a.ResetDelta()

	late := clone(b)
	_, leaves := b.Merge(left)
	wantKeys(t, "leaves", leaves, "alice")
	joins, _ = b.Merge(again)
	wantKeys(t, "joins", joins, "alice")
	if b.context[a.replica] != 3 || len(b.clouds) > 0 {
		t.Fatalf("context %v, clouds %v after deltas in their order", b.context, b.clouds)
	}

	late.Merge(again)
	if late.context[a.replica] != 1 || !slices.Equal(late.clouds[a.replica], Cloud{{3, 3}}) {
		t.Fatalf("context %v, clouds %v after a hole", late.context, late.clouds)
	}
	wantKeys(t, "the old entry stays until the leave comes", late.OnlineList(), "alice", "alice*2")
	late.Merge(left)
	wantSame(t, "the hole filled", late, b)
	if joins, leaves = late.Merge(joined); len(joins)+len(leaves) > 0 {
		t.Fatalf("an old delta brought back %v, removed %v", keys(joins), keys(leaves))
	}
}

// A duplicate of an add must not bring back what is known to be removed, also
// when both are above a hole.
func TestARemovedTagStaysKnownInTheCloud(t *testing.T) {
	t.Parallel()
	a, b := NewState(replica("a")), NewState(replica("b"))
	introduce(a, b)
	join(t, a, 1, "lobby", "lost")
	a.ResetDelta()
	join(t, a, 2, "lobby", "alice")
	added := a.ResetDelta()
	a.Leave(2, "lobby", "alice")
	removed := a.ResetDelta()
	b.Merge(added)
	b.Merge(removed)
	joins, _ := b.Merge(added)
	wantKeys(t, "joins of the duplicate", joins)
}

func TestAnEntryOfOneDeltaLeavesNoValue(t *testing.T) {
	t.Parallel()
	a := NewState(replica("a"))
	join(t, a, 1, "lobby", "alice")
	a.LeaveOwner(1)
	d := a.ResetDelta()
	if d.Values.Len() != 0 || d.Size() != 2 || !slices.Equal(d.Clouds[a.replica], Cloud{{1, 2}}) {
		t.Fatalf("%+v", d)
	}
}

func TestListsAreTheCallersOwn(t *testing.T) {
	t.Parallel()
	a := NewState(replica("a"))
	join(t, a, 1, "lobby", "alice")
	join(t, a, 2, "lobby", "bob")
	list := a.GetByTopic("lobby")
	a.LeaveOwner(1)
	join(t, a, 3, "lobby", "zoe")
	wantKeys(t, "the list from before", list, "alice", "bob")
	clear(list)
	wantKeys(t, "the state", a.GetByTopic("lobby"), "bob", "zoe")
}
