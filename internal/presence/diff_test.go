package presence

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func entry(key string, clock uint64) *Entry {
	return &Entry{Topic: "lobby", Key: key, Meta: json.RawMessage(fmt.Sprintf(`{"phx_ref":"%d"}`, clock)), Tag: Tag{replica("a"), clock}}
}

func TestGroup(t *testing.T) {
	t.Parallel()
	got := fmt.Sprintf("%s", Group([]*Entry{entry("alice", 1), entry("alice", 4), entry("bob", 2)}))
	if want := `[{alice [{"phx_ref":"1"} {"phx_ref":"4"}]} {bob [{"phx_ref":"2"}]}]`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := Group(nil); len(got) != 0 {
		t.Errorf("nothing gives %v", got)
	}
}

func TestDiffs(t *testing.T) {
	t.Parallel()
	old, renewed := entry("alice", 1), entry("alice", 2)
	type step = func(*Diffs)
	joins := func(e ...*Entry) step { return func(ds *Diffs) { ds.Add(e, nil) } }
	leaves := func(e ...*Entry) step { return func(ds *Diffs) { ds.Add(nil, e) } }
	observe := func(ds *Diffs) { ds.Observe("lobby") }
	for _, tc := range []struct {
		name  string
		steps []step
		want  string // clocks joined / left
	}{
		{"a join", []step{joins(old)}, "1/"},
		{"a leave", []step{leaves(old)}, "/1"},
		{"many, sorted", []step{joins(entry("zoe", 9)), joins(entry("bob", 8)), joins(old)}, "1 8 9/"},
		{"an update", []step{func(ds *Diffs) { ds.Add([]*Entry{renewed}, []*Entry{old}) }}, "2/1"},
		{"two updates", []step{joins(entry("alice", 4), renewed), leaves(renewed, old)}, "4/1"},
		{"left and came back with another tag", []step{leaves(old), joins(renewed)}, "2/1"},
		{"came and went", []step{joins(old), leaves(old)}, "/"},
		{"down and up", []step{leaves(old), joins(old)}, "/"},
		{"up, down and up", []step{joins(old), leaves(old), joins(old)}, "1/"},
		{"came, was seen and went", []step{joins(old), observe, leaves(old)}, "/1"},
		{"went, was missed and came", []step{leaves(old), observe, joins(old)}, "1/"},
		{"came and went, and then somebody looked", []step{joins(old), leaves(old), observe}, "/"},
		{"somebody looked before it came and went", []step{joins(renewed), observe, joins(old), leaves(old)}, "2/"},
		{"another topic was looked at", []step{joins(old), func(ds *Diffs) { ds.Observe("other") }, leaves(old)}, "/"},
		{"came, was seen, went, came, went", []step{joins(old), observe, leaves(old), joins(old), leaves(old)}, "/1"},
	} {
		ds := NewDiffs()
		for _, step := range tc.steps {
			step(ds)
		}
		diff, ok := ds.Take("lobby")
		if got := tagsOf(diff.Joins) + "/" + tagsOf(diff.Leaves); got != tc.want || ok != (tc.want != "/") || diff.Topic != "lobby" {
			t.Errorf("%s: %s, %v, want %s", tc.name, got, ok, tc.want)
		}
		if diff, ok = ds.Take("lobby"); ok || len(ds.Topics()) > 0 {
			t.Errorf("%s: taken twice: %+v", tc.name, diff)
		}
	}
}

func tagsOf(entries []*Entry) string {
	var clocks []string
	for _, e := range entries {
		clocks = append(clocks, fmt.Sprint(e.Tag.Clock))
	}
	return strings.Join(clocks, " ")
}

func TestDiffsAreByTopic(t *testing.T) {
	t.Parallel()
	x, y := *entry("k", 1), *entry("k", 2)
	x.Topic, y.Topic = "x", "y"
	ds := NewDiffs()
	ds.Add([]*Entry{&x, &y}, nil)
	if got := ds.Topics(); !slices.Equal(got, []string{"x", "y"}) {
		t.Fatalf("topics %v", got)
	}
	if diff, _ := ds.Take("y"); tagsOf(diff.Joins) != "2" {
		t.Fatalf("diff of y: %+v", diff)
	}
	if got := ds.Topics(); !slices.Equal(got, []string{"x"}) {
		t.Fatalf("topics %v", got)
	}
}

// phoenixPresence is a model of the Presence of phoenix.js: a list of refs for
// each key, changed by presence_state and presence_diff messages.
type phoenixPresence struct {
	state   map[string][]string
	synced  bool // had a presence_state since it joined
	pending []phoenixDiff
}

type phoenixDiff struct{ joins, leaves map[string][]string }

func (p *phoenixPresence) onState(newState map[string][]string) {
	p.syncState(newState)
	p.synced = true
	for _, diff := range p.pending {
		p.syncDiff(diff)
	}
	p.pending = nil
}

func (p *phoenixPresence) onDiff(diff phoenixDiff) {
	if p.synced {
		p.syncDiff(diff)
	} else {
		p.pending = append(p.pending, diff)
	}
}

func (p *phoenixPresence) syncState(newState map[string][]string) {
	diff := phoenixDiff{map[string][]string{}, map[string][]string{}}
	for key, refs := range p.state {
		if left := without(refs, newState[key]); len(left) > 0 {
			diff.leaves[key] = left
		}
	}
	for key, refs := range newState {
		if joined := without(refs, p.state[key]); len(joined) > 0 {
			diff.joins[key] = joined
		}
	}
	p.syncDiff(diff)
}

func (p *phoenixPresence) syncDiff(diff phoenixDiff) {
	for key, refs := range diff.joins {
		p.state[key] = append(without(p.state[key], refs), refs...)
	}
	for key, refs := range diff.leaves {
		if p.state[key] = without(p.state[key], refs); len(p.state[key]) == 0 {
			delete(p.state, key)
		}
	}
}

func without(refs, gone []string) []string {
	return slices.DeleteFunc(slices.Clone(refs), func(ref string) bool { return slices.Contains(gone, ref) })
}

// refs renders entries as a client gets them.
func refs(t must, entries []*Entry) map[string][]string {
	byKey := make(map[string][]string)
	for _, p := range Group(entries) {
		if byKey[p.Key] != nil {
			t.Fatalf("key %q is there twice", p.Key)
		}
		for _, meta := range p.Metas {
			var m struct {
				Ref string `json:"phx_ref"`
			}
			if err := json.Unmarshal(meta, &m); err != nil || m.Ref == "" {
				t.Fatalf("meta %s: %v", meta, err)
			}
			byKey[p.Key] = append(byKey[p.Key], m.Ref)
		}
	}
	return byKey
}

// room is a topic, seen by clients of replica a.
type room struct {
	states  []*State // a, and others
	diffs   *Diffs
	refs    int
	clients []*client
}

// client gets its presence_state some time after its join, and what was listed
// for it may be sent later still, after newer diffs.
type client struct {
	phoenixPresence
	listed map[string][]string
}

func (r *room) meta() json.RawMessage {
	r.refs++
	return json.RawMessage(fmt.Sprintf(`{"phx_ref":"ref%d"}`, r.refs))
}

// change joins, updates or leaves on a or elsewhere.
func (r *room) change(t *rapid.T) {
	s := pick(t, "replica", r.states)
	owner := Owner(rapid.IntRange(1, 3).Draw(t, "owner"))
	key := rapid.SampledFrom([]string{"k", "l"}).Draw(t, "key")
	var joined, left *Entry
	switch _, there := s.Get(owner, "lobby", key); {
	case !there:
		joined, _ = s.Join(owner, "lobby", key, r.meta())
	case rapid.Bool().Draw(t, "update"):
		joined, left, _ = s.LeaveJoin(owner, "lobby", key, r.meta())
	default:
		left, _ = s.Leave(owner, "lobby", key)
	}
	if s == r.states[0] {
		isNil := func(e *Entry) bool { return e == nil }
		r.diffs.Add(slices.DeleteFunc([]*Entry{joined}, isNil), slices.DeleteFunc([]*Entry{left}, isNil))
	}
}

func (r *room) merge(t *rapid.T) {
	r.diffs.Add(r.states[0].Merge(whole(pick(t, "from", r.states[1:]))))
}

func (r *room) upOrDown(t *rapid.T) {
	a := r.states[0]
	i := rapid.IntRange(1, len(r.states)-1).Draw(t, "which")
	o := r.states[i]
	switch rapid.SampledFrom([]string{"up", "down", "anew"}).Draw(t, "change") {
	case "up":
		r.diffs.Add(a.ReplicaUp(o.replica), nil)
	case "down":
		r.diffs.Add(nil, a.ReplicaDown(o.replica))
	case "anew":
		r.diffs.Add(nil, a.RemoveDownReplicas(o.replica))
		r.states[i] = NewState(Replica{o.replica.Name, o.replica.Vsn + 1})
		r.diffs.Add(a.ReplicaUp(r.states[i].replica), nil)
	}
}

func (r *room) flush(t must) {
	diff, ok := r.diffs.Take("lobby")
	if !ok {
		return
	}
	both := tags(diff.Joins)
	for _, e := range diff.Leaves {
		if both[e.Tag] != nil {
			t.Fatalf("%+v joins and leaves in one diff", e)
		}
	}
	for _, c := range r.clients {
		c.onDiff(phoenixDiff{refs(t, diff.Joins), refs(t, diff.Leaves)})
	}
}

func (r *room) list(c *client, t must) {
	c.listed = refs(t, r.states[0].GetByTopic("lobby"))
	r.diffs.Observe("lobby")
}

func (r *room) sendList(c *client) {
	if c.listed != nil {
		c.onState(c.listed)
		c.listed = nil
	}
}

func (r *room) drawClient(t *rapid.T) *client {
	if len(r.clients) == 0 {
		t.Skip("no client")
	}
	return pick(t, "client", r.clients)
}

// Clients that come at any time, and apply presence_state and presence_diff as
// phoenix.js does, end with what the topic lists.
func TestClientsEndWithTheList(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := &room{diffs: NewDiffs(), states: []*State{NewState(replica("a")), NewState(replica("b")), NewState(replica("c"))}}
		introduce(r.states...)
		t.Repeat(map[string]func(*rapid.T){
			"change":     r.change,
			"change two": func(t *rapid.T) { r.change(t); r.change(t) },
			"merge":      r.merge,
			"up or down": r.upOrDown,
			"diff":       func(t *rapid.T) { r.flush(t) },
			"join": func(*rapid.T) {
				r.clients = append(r.clients, &client{phoenixPresence: phoenixPresence{state: map[string][]string{}}})
			},
			"rejoin": func(t *rapid.T) {
				c := r.drawClient(t)
				c.synced, c.pending, c.listed = false, nil, nil
			},
			"list": func(t *rapid.T) {
				if c := r.drawClient(t); !c.synced && c.listed == nil {
					r.list(c, t)
				}
			},
			"send the list": func(t *rapid.T) { r.sendList(r.drawClient(t)) },
		})
		for _, c := range r.clients {
			if !c.synced && c.listed == nil {
				r.list(c, t)
			}
		}
		r.flush(t)
		want := refs(t, r.states[0].GetByTopic("lobby"))
		for _, of := range want {
			slices.Sort(of)
		}
		for _, c := range r.clients {
			r.sendList(c)
			for _, of := range c.state {
				slices.Sort(of)
			}
			if !maps.EqualFunc(c.state, want, slices.Equal[[]string]) {
				t.Fatalf("a client has %v, the list is %v", c.state, want)
			}
		}
	})
}
