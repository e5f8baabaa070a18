package presence

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// history is what a few replicas did, and every delta and transfer they sent.
type history struct {
	states []*State
	sent   []*Delta // all of them
	deltas []*Delta // only what ResetDelta gave
}

// drawOp changes a state in a random way.
func drawOp(t *rapid.T, s *State) {
	owner := Owner(rapid.IntRange(1, 3).Draw(t, "owner"))
	topic := rapid.SampledFrom([]string{"x", "y"}).Draw(t, "topic")
	key := rapid.SampledFrom([]string{"k", "l"}).Draw(t, "key")
	switch _, there := s.Get(owner, topic, key); {
	case !there:
		join(t, s, owner, topic, key)
	case rapid.Bool().Draw(t, "update"):
		meta := fmt.Sprintf(`{"clock":%d}`, s.Clocks().Context[s.replica])
		if _, _, err := s.LeaveJoin(owner, topic, key, json.RawMessage(meta)); err != nil {
			t.Fatalf("update: %v", err)
		}
	case rapid.Bool().Draw(t, "by owner"):
		s.LeaveOwner(owner)
	default:
		s.Leave(owner, topic, key)
	}
}

func drawHistory(t *rapid.T) *history {
	h := &history{}
	for _, name := range []string{"a", "b", "c"} {
		h.states = append(h.states, NewState(replica(name)))
	}
	introduce(h.states...)
	for range rapid.IntRange(0, 40).Draw(t, "steps") {
		s := pick(t, "replica", h.states)
		switch rapid.IntRange(0, 4).Draw(t, "step") {
		case 0:
			d := s.ResetDelta()
			h.sent, h.deltas = append(h.sent, d), append(h.deltas, d)
		case 1:
			known := pick(t, "asker", h.states)
			h.sent = append(h.sent, s.Extract(NewGenerations(), known.replica, known.context))
		case 2:
			if len(h.sent) > 0 {
				s.Merge(pick(t, "delta", h.sent))
			}
		default:
			drawOp(t, s)
		}
	}
	for _, s := range h.states {
		d := s.ResetDelta()
		h.sent, h.deltas = append(h.sent, d, whole(s)), append(h.deltas, d)
	}
	return h
}

// observer is a replica that only listens.
func (h *history) observer() *State {
	o := NewState(replica("observer"))
	introduce(append([]*State{o}, h.states...)...)
	return o
}

func (h *history) draw(t *rapid.T, what string) *Delta {
	return pick(t, what, h.sent)
}

func mergedAll(s *State, deltas ...*Delta) *State {
	s = clone(s)
	for _, d := range deltas {
		s.Merge(d)
	}
	return s
}

func TestMergeIsCommutativeAssociativeIdempotent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t)
		x, y, z := h.draw(t, "x"), h.draw(t, "y"), h.draw(t, "z")
		for _, s := range append(h.states, h.observer()) {
			xyz := mergedAll(s, x, y, z)
			for _, order := range [][]*Delta{{x, z, y}, {y, x, z}, {y, z, x}, {z, x, y}, {z, y, x}} {
				wantSame(t, "commutative", mergedAll(s, order...), xyz)
			}
			wantSame(t, "idempotent", mergedAll(s, x, y, x, z, z, y, x), xyz)

			// Associative: first merge the deltas with each other.
			xy, yz := x.clone(), y.clone()
			if xy.Merge(y) == nil {
				wantSame(t, "(x y) z", mergedAll(s, xy, z), xyz)
			}
			if yz.Merge(z) == nil {
				wantSame(t, "x (y z)", mergedAll(s, x, yz), xyz)
			}
			for _, d := range []*Delta{x, y, z} {
				checkDelta(t, d)
			}
		}
	})
}

func TestDeltaMergeIsCommutativeAssociativeIdempotent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t)
		x, y, z := h.draw(t, "x"), h.draw(t, "y"), h.draw(t, "z")
		merge := func(deltas ...*Delta) (string, bool) {
			d := deltas[0].clone()
			for _, o := range deltas[1:] {
				if d.Merge(o) != nil {
					return "", false
				}
			}
			checkDelta(t, d)
			return string(AppendDelta(nil, d)), true
		}
		same := func(law string, a, b []*Delta) {
			gotA, okA := merge(a...)
			gotB, okB := merge(b...)
			if okA && okB && gotA != gotB {
				t.Fatalf("%s: %q, %q", law, gotA, gotB)
			}
		}
		same("commutative", []*Delta{x, y}, []*Delta{y, x})
		same("idempotent", []*Delta{x, y}, []*Delta{x, y, x, y})
		same("commutative, three", []*Delta{x, y, z}, []*Delta{y, z, x})
		yz := y.clone()
		if yz.Merge(z) == nil {
			same("associative", []*Delta{x, y, z}, []*Delta{x, yz})
		}
	})
}

func TestGenerationsLeaveTheDeltasAlone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h, g := drawHistory(t), NewGenerations(3, 8)
		var before [][]byte
		for _, d := range h.sent {
			before = append(before, AppendDelta(nil, d))
			g.Push(d)
		}
		for i, d := range h.sent {
			if got := AppendDelta(nil, d); !bytes.Equal(got, before[i]) {
				t.Fatalf("pushed %q, now %q", before[i], got)
			}
		}
		for _, d := range g.deltas {
			if d != nil {
				checkDelta(t, d)
			}
		}
	})
}

// Deltas in any order, some twice and some never: transfers repair what is
// missing, and the outcome is that of merging the whole states.
func TestDeltasInAnyOrderConverge(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t)
		want := mergedAll(h.observer(), whole(h.states[0]), whole(h.states[1]), whole(h.states[2]))

		all := h.observer()
		for _, d := range shuffle(t, "order", h.deltas) {
			all.Merge(d)
		}
		wantSame(t, "all deltas in any order", all, want)

		some := h.observer()
		visible := make(map[Tag]*Entry)
		merge := func(d *Delta) { replay(t, visible, some, d) }
		for range rapid.IntRange(0, 2*len(h.deltas)).Draw(t, "deliveries") {
			merge(h.draw(t, "delta"))
		}
		for _, s := range h.states {
			merge(s.Extract(NewGenerations(), some.replica, some.Clocks().Context))
		}
		wantSame(t, "some deltas, and transfers", some, want)
		wantReplayed(t, visible, some)
	})
}

// replay merges d and applies the joins and leaves that it gives.
func replay(t must, visible map[Tag]*Entry, s *State, d *Delta) {
	t.Helper()
	joins, leaves := s.Merge(d)
	apply(t, visible, joins, leaves)
}

func apply(t must, visible map[Tag]*Entry, joins, leaves []*Entry) {
	t.Helper()
	for _, e := range joins {
		if visible[e.Tag] != nil {
			t.Fatalf("%+v joins twice", e)
		}
		visible[e.Tag] = e
	}
	for _, e := range leaves {
		if visible[e.Tag] == nil {
			t.Fatalf("%+v leaves and was not there", e)
		}
		delete(visible, e.Tag)
	}
	if !slices.IsSortedFunc(joins, (*Entry).Compare) || !slices.IsSortedFunc(leaves, (*Entry).Compare) {
		t.Fatalf("not sorted: joins %v, leaves %v", keys(joins), keys(leaves))
	}
}

// wantReplayed wants that the joins and leaves told give what is listed.
func wantReplayed(t must, visible map[Tag]*Entry, s *State) {
	t.Helper()
	list := s.OnlineList()
	for _, e := range list {
		if visible[e.Tag] == nil {
			t.Fatalf("%v lists %+v, whose join it did not tell", s.replica, e)
		}
	}
	if len(list) != len(visible) {
		t.Fatalf("%v lists %d, told of %d", s.replica, len(list), len(visible))
	}
}

// A key that somebody adds while somebody else removes it is there, in
// whichever order others hear of it.
func TestAddWins(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b, o := NewState(replica("a")), NewState(replica("b")), NewState(replica("o"))
		introduce(a, b, o)
		join(t, a, 1, "lobby", "alice")
		first := a.ResetDelta()
		deltas := []*Delta{first}
		if rapid.Bool().Draw(t, "on another replica") {
			b.Merge(first)
			a.Leave(1, "lobby", "alice")
			join(t, b, 1, "lobby", "alice")
		} else {
			a.Leave(1, "lobby", "alice")
			deltas = append(deltas, a.ResetDelta())
			join(t, a, 1, "lobby", "alice")
		}
		deltas = append(deltas, a.ResetDelta(), b.ResetDelta())
		deltas = append(deltas, pickSome(t, "duplicates", deltas)...)
		for _, d := range shuffle(t, "order", deltas) {
			o.Merge(d)
		}
		wantKeys(t, "the one that heard all", o.OnlineList(), "alice")
		wantSame(t, "states", o, mergedInto(NewState(o.replica), a, b))
	})
}

func TestDownAndUpAreInverse(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t)
		s := pick(t, "state", h.states)
		before, list := clone(s), s.OnlineList()
		r := pick(t, "down", h.states).replica
		left := s.ReplicaDown(r)
		for _, e := range s.OnlineList() {
			if e.Tag.Replica == r && r != s.replica {
				t.Fatalf("%+v is listed", e)
			}
		}
		if joined := s.ReplicaUp(r); !slices.Equal(joined, left) {
			t.Fatalf("left %v, came back %v", left, joined)
		}
		wantSame(t, "after down and up", s, before)
		if !slices.Equal(s.OnlineList(), list) {
			t.Fatalf("lists %v, before %v", s.OnlineList(), list)
		}
	})
}

// What is said while a replica is down is not lost, and is told when it is up.
func TestMergesWhileDown(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t)
		o := h.observer()
		visible := make(map[Tag]*Entry)
		down := pick(t, "down", h.states).replica
		replay(t, visible, o, h.draw(t, "before"))
		apply(t, visible, nil, o.ReplicaDown(down))
		for _, d := range []*Delta{h.draw(t, "meanwhile"), h.draw(t, "also")} {
			replay(t, visible, o, d)
			wantReplayed(t, visible, o)
		}
		apply(t, visible, o.ReplicaUp(down), nil)
		wantReplayed(t, visible, o)
	})
}

// A replica that is permanently down leaves a state and generations as if it
// had never been.
func TestPermanentlyDownLeavesNoTrace(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t)
		gone := h.states[2].replica
		with, without := h.observer(), NewState(replica("observer"))
		introduce(without, h.states[0], h.states[1])
		gens := NewGenerations(4, 1000)
		for _, d := range pickSome(t, "deltas", h.sent) {
			with.Merge(d)
			without.Merge(d)
			gens.Push(d)
		}
		if rapid.Bool().Draw(t, "down first") {
			with.ReplicaDown(gone)
		}
		with.RemoveDownReplicas(gone)
		wantSame(t, "state", with, without)
		gens.RemoveDownReplicas(gone)
		for _, d := range gens.deltas {
			if d != nil && (len(d.Clouds[gone]) > 0 || len(d.Values[gone]) > 0 || len(d.Range.Start.Filter(Context{gone: 0})) > 0) {
				t.Fatalf("a generation keeps %+v", d)
			}
		}
		for _, e := range with.ReplicaUp(gone) {
			t.Fatalf("%+v came back", e)
		}
	})
}

func TestCompactionChangesNoAnswer(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t)
		o := h.observer()
		for _, d := range pickSome(t, "deltas", h.sent) {
			o.observe(d)
		}
		compact := clone(o)
		compact.Compact()
		checkInvariants(t, compact)
		if !slices.Equal(o.OnlineList(), compact.OnlineList()) {
			t.Fatalf("lists %v, compact %v", o.OnlineList(), compact.OnlineList())
		}
		for _, s := range h.states {
			for clock := range uint64(100) {
				tag := Tag{s.replica, clock + 1}
				if o.knows(tag) != compact.knows(tag) {
					t.Fatalf("%v is known: %v, compact %v", tag, o.knows(tag), compact.knows(tag))
				}
			}
		}
		next := h.draw(t, "next")
		joins, leaves := o.Merge(next)
		compactJoins, compactLeaves := compact.Merge(next)
		if !slices.Equal(joins, compactJoins) || !slices.Equal(leaves, compactLeaves) {
			t.Fatalf("joins %v, leaves %v; compact %v, %v", joins, leaves, compactJoins, compactLeaves)
		}
		wantSame(t, "after a merge", o, compact)
	})
}
