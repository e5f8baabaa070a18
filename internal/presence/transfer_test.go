package presence

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// To merge all parts of a delta, in any order, is to merge the delta; and no
// part is much larger than it may be.
func TestSplitDelta(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		from := NewState(replica("a"))
		for i := range rapid.IntRange(1, 40).Draw(t, "entries") {
			join(t, from, Owner(i), fmt.Sprint("t", i%3), fmt.Sprint("k", i))
		}
		one, two := NewState(replica("b")), NewState(replica("b"))
		introduce(from, one, two)
		if rapid.Bool().Draw(t, "known") {
			one.Merge(whole(from))
			two.Merge(whole(from))
		}
		for _, owner := range rapid.SliceOf(rapid.IntRange(0, 40)).Draw(t, "leaves") {
			from.LeaveOwner(Owner(owner))
		}
		from.ResetDelta()
		delta := from.Extract(NewGenerations(), one.replica, one.context)
		limit := rapid.IntRange(1, 2000).Draw(t, "limit")
		parts := delta.split(limit)
		one.Merge(delta)
		rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "order"), 0)).Shuffle(len(parts), func(i, j int) {
			parts[i], parts[j] = parts[j], parts[i]
		})
		for _, part := range parts {
			encoded := AppendDelta(nil, part)
			if len(encoded) > limit+200 {
				t.Errorf("a part of %d bytes, the limit is %d", len(encoded), limit)
			}
			decoded, err := DecodeDelta(encoded)
			if err != nil {
				t.Fatalf("decode a part: %v", err)
			}
			two.Merge(decoded)
		}
		if len(one.OnlineList()) != from.Len() || len(two.OnlineList()) != from.Len() {
			t.Fatalf("%d by the delta, %d by its parts, of %d", len(one.OnlineList()), len(two.OnlineList()), from.Len())
		}
		if one.context[from.replica] != two.context[from.replica] || len(two.clouds) > 0 {
			t.Fatalf("context %v, clouds %v; want %v", two.context, two.clouds, one.context)
		}
	})
}

// An entry that comes back itself is neither joined nor left.
func TestGraceOfAReplicaThatReturns(t *testing.T) {
	t.Parallel()
	here, there := NewState(replica("a")), NewState(replica("b"))
	introduce(here, there)
	for owner := range Owner(2) {
		join(t, there, owner, "room", "ann")
	}
	here.Merge(whole(there))
	g := newGrace(time.Minute)
	if joins, leaves := g.filter(nil, here.ReplicaDown(there.replica), here, time.Now()); len(joins)+len(leaves) > 0 {
		t.Errorf("down: told %v, %v", joins, leaves)
	}
	wantKeys(t, "lingering", g.with(nil, "room"), "ann", "ann*2")
	if joins, leaves := g.filter(here.ReplicaUp(there.replica), nil, here, time.Now()); len(joins)+len(leaves) > 0 {
		t.Errorf("up: told %v, %v", joins, leaves)
	}
	wantKeys(t, "lingering", g.with(nil, "room"))
}

func FuzzDecodeMessage(f *testing.F) {
	s := NewState(replica("a"))
	join(f, s, 1, "room", "ann")
	for _, m := range []message{
		{kind: msgHeartbeat, shards: 8, shard: 7, sender: replica("a"), clock: AppendClock(nil, s.Clocks())},
		{kind: msgDelta, shards: 8, sender: replica("a"), clock: AppendClock(nil, s.Clocks()), delta: AppendDelta(nil, s.ResetDelta())},
		{kind: msgPermdown, shards: 1, sender: replica("")},
	} {
		f.Add(m.encode())
	}
	f.Add([]byte{messageVersion, msgKinds, 1, 0, 0, 0, 0})
	f.Add([]byte{messageVersion + 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMessage(b)
		if err != nil {
			return
		}
		again, err := decodeMessage(m.encode())
		if err != nil || again.kind != m.kind || again.shard != m.shard || again.shards != m.shards ||
			again.sender != m.sender || string(again.clock) != string(m.clock) || string(again.delta) != string(m.delta) {
			t.Errorf("%+v became %+v, %v", m, again, err)
		}
	})
}

func TestPresencesApply(t *testing.T) {
	t.Parallel()
	list := Presences{}
	for _, step := range []struct{ diff, want string }{
		{`{"joins":{"a":{"metas":[{"phx_ref":"1"}],"name":"A"}},"leaves":{}}`, `{"a":{"metas":[{"phx_ref":"1"}],"name":"A"}}`},
		{`{"joins":{"a":{"metas":[{"phx_ref":"2"}],"name":"AA"}},"leaves":{}}`, `{"a":{"metas":[{"phx_ref":"1"},{"phx_ref":"2"}],"name":"AA"}}`},
		{`{"joins":{"a":{"metas":[{"phx_ref":"1"}]}},"leaves":{}}`, `{"a":{"metas":[{"phx_ref":"2"},{"phx_ref":"1"}]}}`},
		{`{"joins":{"a":{"metas":[{"phx_ref":"3"}]}},"leaves":{"a":{"metas":[{"phx_ref":"2"}]},"z":{"metas":[{"phx_ref":"9"}]}}}`, `{"a":{"metas":[{"phx_ref":"1"},{"phx_ref":"3"}]}}`},
		{`{"joins":{"<b>":{"metas":[{"phx_ref":"4"}]}},"leaves":{"a":{"metas":[{"phx_ref":"1"},{"phx_ref":"3"}]}}}`, `{"<b>":{"metas":[{"phx_ref":"4"}]}}`},
	} {
		var diff PresenceDiff
		if err := json.Unmarshal([]byte(step.diff), &diff); err != nil {
			t.Fatal(err)
		}
		if got := string(diff.AppendJSON(nil)); got != step.diff {
			t.Errorf("diff %s became %s", step.diff, got)
		}
		list.Apply(&diff)
		if got := string(list.AppendJSON(nil)); got != step.want {
			t.Errorf("after %s: %s, want %s", step.diff, got, step.want)
		}
	}
	var listed Listed
	if err := json.Unmarshal([]byte(`{"name":"x"}`), &listed); err == nil {
		t.Error("a presence without metas was read")
	}
}

func TestRefsAreUnique(t *testing.T) {
	t.Parallel()
	maker := refMaker{node: "a"}
	seen := make(map[string]bool)
	for i := range 10_000 {
		ref := maker.next(Owner(i % 3))
		if len(ref) != 16 || seen[ref] {
			t.Fatalf("ref %q, number %d", ref, i)
		}
		seen[ref] = true
	}
}
