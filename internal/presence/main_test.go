package presence

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// must is t of testing or of rapid.
type must interface {
	Helper()
	Fatalf(format string, args ...any)
}

func replica(name string) Replica { return Replica{name, 1} }

// introduce makes all states know each other's replicas.
func introduce(states ...*State) {
	for _, a := range states {
		for _, b := range states {
			a.ReplicaUp(b.replica)
		}
	}
}

func join(t must, s *State, owner Owner, topic, key string) *Entry {
	t.Helper()
	e, err := s.Join(owner, topic, key, json.RawMessage(`{}`))
	if err != nil {
		t.Fatalf("join: %v", err)
	}
	return e
}

// whole is everything that s knows: the delta from nothing.
func whole(s *State) *Delta {
	d := newDelta()
	for r, clock := range s.context {
		if clock > 0 || len(s.clouds[r]) > 0 {
			s.extract(d, r, 0)
		}
	}
	return d
}

// pick draws one of several things, and keeps the log short.
func pick[T any](t *rapid.T, what string, from []T) T {
	return from[rapid.IntRange(0, len(from)-1).Draw(t, what)]
}

func pickSome[T any](t *rapid.T, what string, from []T) []T {
	var some []T
	for _, i := range rapid.SliceOf(rapid.IntRange(0, len(from)-1)).Draw(t, what) {
		some = append(some, from[i])
	}
	return some
}

func shuffle[T any](t *rapid.T, what string, from []T) []T {
	order := make([]int, len(from))
	for i := range order {
		order[i] = i
	}
	var shuffled []T
	for _, i := range rapid.Permutation(order).Draw(t, what) {
		shuffled = append(shuffled, from[i])
	}
	return shuffled
}

// keys lists entries as "key", or "key*2" for the second entry of a key.
func keys(entries []*Entry) []string {
	names := make([]string, 0, len(entries))
	for i, e := range entries {
		n := 1
		for i >= n && entries[i-n].Key == e.Key {
			n++
		}
		if n == 1 {
			names = append(names, e.Key)
		} else {
			names = append(names, fmt.Sprintf("%s*%d", e.Key, n))
		}
	}
	return names
}

func wantKeys(t must, what string, entries []*Entry, want ...string) {
	t.Helper()
	if got := keys(entries); !slices.Equal(got, want) {
		t.Fatalf("%s: %v, want %v", what, got, want)
	}
}

func tags(entries []*Entry) map[Tag]*Entry {
	set := make(map[Tag]*Entry, len(entries))
	for _, e := range entries {
		set[e.Tag] = e
	}
	return set
}

func clone(s *State) *State {
	c := *s
	c.context, c.down, c.values, c.delta = maps.Clone(s.context), maps.Clone(s.down), s.values.clone(), s.delta.clone()
	c.clouds, c.topics, c.owners = make(Clouds), make(topics), make(map[Owner]map[place]*Entry)
	for r, cloud := range s.clouds {
		c.clouds[r] = slices.Clone(cloud)
	}
	for topic, list := range s.topics {
		c.topics[topic] = slices.Clone(list)
	}
	for owner, places := range s.owners {
		c.owners[owner] = maps.Clone(places)
	}
	return &c
}

// wantSame compares all that two states hold, but for their own deltas.
func wantSame(t must, what string, got, want *State) {
	t.Helper()
	if !maps.Equal(got.context, want.context) || !maps.Equal(got.down, want.down) {
		t.Fatalf("%s: context %v, down %v; want %v, %v", what, got.context, got.down, want.context, want.down)
	}
	if !maps.EqualFunc(got.clouds, want.clouds, slices.Equal[Cloud]) {
		t.Fatalf("%s: clouds %v, want %v", what, got.clouds, want.clouds)
	}
	if !maps.EqualFunc(got.values, want.values, maps.Equal[map[uint64]*Entry, map[uint64]*Entry]) {
		t.Fatalf("%s: values %v, want %v", what, got.values, want.values)
	}
	checkInvariants(t, got)
}

// checkInvariants checks a state's indexes against its values, and its values
// against its context and clouds.
func checkInvariants(t must, s *State) {
	t.Helper()
	all := make(map[Tag]*Entry)
	own, hidden := 0, 0
	for r, of := range s.values {
		if len(of) == 0 {
			t.Fatalf("an empty map is kept for %v", r)
		}
		for clock, e := range of {
			all[e.Tag] = e
			if e.Tag != (Tag{r, clock}) || !s.knows(e.Tag) {
				t.Fatalf("value %+v is at %v %d, known: %v", e, r, clock, s.knows(e.Tag))
			}
			if s.down[r] {
				hidden++
			}
			if r == s.replica {
				own++
				if s.owners[e.Owner][place{e.Topic, e.Key}] != e {
					t.Fatalf("%+v is not in the index by owner", e)
				}
			}
		}
	}
	listed := 0
	for topic, list := range s.topics {
		if len(list) == 0 || !slices.IsSortedFunc(list, (*Entry).Compare) {
			t.Fatalf("topic %q: empty or not sorted: %v", topic, keys(list))
		}
		for _, e := range list {
			if listed++; all[e.Tag] != e || e.Topic != topic || s.down[e.Tag.Replica] {
				t.Fatalf("topic %q lists %+v", topic, e)
			}
		}
	}
	for _, places := range s.owners {
		own -= len(places)
	}
	if listed+hidden != len(all) || own != 0 || s.Len() != len(all) {
		t.Fatalf("%d values, %d of them hidden, %d listed by topic, Len %d, difference by owner %d", len(all), hidden, listed, s.Len(), own)
	}
	for r, cloud := range s.clouds {
		if len(cloud) == 0 || cloud[0].lo <= s.context[r]+1 {
			t.Fatalf("cloud of %v is not compact: %v above %d", r, cloud, s.context[r])
		}
	}
	checkDelta(t, s.delta)
}

func checkDelta(t must, d *Delta) {
	t.Helper()
	for r, of := range d.Values {
		for clock, e := range of {
			if e.Tag != (Tag{r, clock}) || !d.Clouds[r].Has(clock) {
				t.Fatalf("value %+v is at %v %d; cloud %v", e, r, clock, d.Clouds[r])
			}
		}
	}
	for r, cloud := range d.Clouds {
		for i, s := range cloud {
			if s.lo < 1 || s.hi < s.lo || i > 0 && s.lo <= cloud[i-1].hi+1 {
				t.Fatalf("cloud of %v: %v", r, cloud)
			}
		}
	}
}
