package presence_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
)

// client is a subscriber with the Presence of phoenix.js: its onState and
// onDiff, line by line.
type client struct {
	t       *testing.T
	state   phoenixState // nil until presence_state has come
	pending []phoenixDiff
}

type phoenixState map[string]*phoenixPresence

type phoenixPresence struct {
	Metas []map[string]any `json:"metas"`
}

type phoenixDiff struct {
	Joins  phoenixState `json:"joins"`
	Leaves phoenixState `json:"leaves"`
}

// watch subscribes a client, which has no state yet.
func (nd *node) watch(topic string) *client {
	c := &client{t: nd.net.t}
	nd.mu.Lock()
	defer nd.mu.Unlock()
	nd.clients[topic] = append(nd.clients[topic], c)
	return c
}

// state is what the channel pushes as presence_state.
func (nd *node) state(topic string) []byte {
	return nd.tracker.ListJSON(context.Background(), topic)
}

// push gives a subscriber its presence_state.
func (nd *node) push(c *client, state []byte) {
	nd.mu.Lock()
	defer nd.mu.Unlock()
	c.onState(state)
}

func (c *client) onState(frame []byte) {
	var fresh phoenixState
	c.decode(frame, &fresh)
	c.state = syncState(c.state, fresh)
	for _, diff := range c.pending {
		c.state = syncDiff(c.state, diff)
	}
	c.pending = nil
}

func (c *client) onDiff(frame []byte) {
	var diff phoenixDiff
	c.decode(frame, &diff)
	if diff.Joins == nil || diff.Leaves == nil {
		c.t.Errorf("a diff without joins or leaves: %s", frame)
	}
	if c.state == nil {
		c.pending = append(c.pending, diff)
	} else {
		c.state = syncDiff(c.state, diff)
	}
}

func (c *client) decode(frame []byte, into any) {
	if err := json.Unmarshal(frame, into); err != nil {
		c.t.Errorf("frame %s: %v", frame, err)
	}
}

func syncState(current, fresh phoenixState) phoenixState {
	joins, leaves := make(phoenixState), make(phoenixState)
	if current == nil {
		current = make(phoenixState)
	}
	for key, p := range current {
		if fresh[key] == nil {
			leaves[key] = p
		}
	}
	for key, p := range fresh {
		was := current[key]
		if was == nil {
			joins[key] = p
			continue
		}
		joined, left := p.other(was), was.other(p)
		if len(joined) > 0 {
			joins[key] = &phoenixPresence{joined}
		}
		if len(left) > 0 {
			leaves[key] = &phoenixPresence{left}
		}
	}
	return syncDiff(current, phoenixDiff{joins, leaves})
}

func syncDiff(state phoenixState, diff phoenixDiff) phoenixState {
	for key, p := range diff.Joins {
		was := state[key]
		state[key] = &phoenixPresence{slices.Clone(p.Metas)}
		if was != nil {
			state[key].Metas = append(was.other(p), state[key].Metas...)
		}
	}
	for key, p := range diff.Leaves {
		was := state[key]
		if was == nil {
			continue
		}
		if was.Metas = was.other(p); len(was.Metas) == 0 {
			delete(state, key)
		}
	}
	return state
}

// other returns the metas whose refs o has not.
func (p *phoenixPresence) other(o *phoenixPresence) []map[string]any {
	var metas []map[string]any
	for _, m := range p.Metas {
		if !slices.ContainsFunc(o.Metas, func(other map[string]any) bool { return other["phx_ref"] == m["phx_ref"] }) {
			metas = append(metas, m)
		}
	}
	return metas
}

// refs is the state as key and phx_refs, sorted.
func (s phoenixState) refs() map[string][]string {
	refs := make(map[string][]string, len(s))
	for key, p := range s {
		for _, m := range p.Metas {
			refs[key] = append(refs[key], m["phx_ref"].(string))
		}
		slices.Sort(refs[key])
	}
	return refs
}

// wantClients compares what the node's clients of a topic have with its list.
func wantClients(t *testing.T, nd *node, topic string) {
	t.Helper()
	var list phoenixState
	if err := json.Unmarshal(nd.state(topic), &list); err != nil {
		t.Fatal(err)
	}
	nd.mu.Lock()
	defer nd.mu.Unlock()
	for i, c := range nd.clients[topic] {
		if c.state == nil {
			c.state = syncState(nil, phoenixState{})
			for _, diff := range c.pending {
				c.state = syncDiff(c.state, diff)
			}
		}
		if got, want := c.state.refs(), list.refs(); !equalRefs(got, want) {
			t.Errorf("node %s, client %d has %v in %s, the list is %v", nd.id, i, got, topic, want)
		}
	}
}

func equalRefs(a, b map[string][]string) bool {
	if len(a) != len(b) {
		return false
	}
	for key, refs := range a {
		if !slices.Equal(refs, b[key]) {
			return false
		}
	}
	return true
}
