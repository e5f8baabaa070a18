package main

import (
	"encoding/json"
	"slices"
)

// A meta is what matters of one.
type meta struct {
	Ref string `json:"phx_ref"`
	ID  int    `json:"id"`
}

// presences are metas by key: the payload of presence_state.
type presences map[string]struct {
	Metas []meta `json:"metas"`
}

// diff is the payload of presence_diff.
type diff struct {
	Joins  presences `json:"joins"`
	Leaves presences `json:"leaves"`
}

// A list is a topic's state on a client, kept as Presence of phoenix.js keeps
// it.
type list struct {
	metas   map[string][]meta
	joinRef string // of the join that the last state came after
	pending []diff // came before the state
	left    func(id int)
	turned  func(key string, here bool) // a key came or went
}

// onState is phoenix.js's handler of presence_state.
func (l *list) onState(payload json.RawMessage, joinRef string) error {
	var state presences
	if err := json.Unmarshal(payload, &state); err != nil {
		return err
	}
	l.joinRef = joinRef
	l.syncState(state)
	for _, d := range l.pending {
		l.syncDiff(d)
	}
	l.pending = nil
	return nil
}

// onDiff is phoenix.js's handler of presence_diff. joinRef is that of the
// channel's latest join.
func (l *list) onDiff(payload json.RawMessage, joinRef string) error {
	var d diff
	if err := json.Unmarshal(payload, &d); err != nil {
		return err
	}
	if l.joinRef != joinRef {
		l.pending = append(l.pending, d)
		return nil
	}
	l.syncDiff(d)
	return nil
}

// syncState is a diff of what differs.
func (l *list) syncState(state presences) {
	d := diff{Joins: presences{}, Leaves: presences{}}
	for key, metas := range l.metas {
		if gone := without(metas, state[key].Metas); len(gone) > 0 {
			p := d.Leaves[key]
			p.Metas = gone
			d.Leaves[key] = p
		}
	}
	for key, p := range state {
		if p.Metas = without(p.Metas, l.metas[key]); len(p.Metas) > 0 {
			d.Joins[key] = p
		}
	}
	l.syncDiff(d)
}

func (l *list) syncDiff(d diff) {
	for key, p := range d.Joins {
		if len(l.metas[key]) == 0 {
			l.turned(key, true)
		}
		l.metas[key] = append(without(l.metas[key], p.Metas), p.Metas...)
	}
	for key, p := range d.Leaves {
		if len(l.metas[key]) == 0 {
			continue
		}
		for _, m := range p.Metas {
			l.left(m.ID)
		}
		if l.metas[key] = without(l.metas[key], p.Metas); len(l.metas[key]) == 0 {
			delete(l.metas, key)
			l.turned(key, false)
		}
	}
}

// without is those whose ref is not among the others'.
func without(metas, others []meta) []meta {
	var rest []meta
	for _, m := range metas {
		if !slices.ContainsFunc(others, func(o meta) bool { return o.Ref == m.Ref }) {
			rest = append(rest, m)
		}
	}
	return rest
}

// agrees is whether the list is what was intended.
func (l *list) agrees(wanted map[int]entry) bool {
	total := 0
	for key, metas := range l.metas {
		total += len(metas)
		for _, m := range metas {
			if e, ok := wanted[m.ID]; !ok || e.key != key {
				return false
			}
		}
	}
	return total == len(wanted) // ids are listed once, or their number differs
}

// listing is the ids by key.
func (p presences) listing() listing {
	l := make(listing, len(p))
	for key, shown := range p {
		l[key] = ids(shown.Metas)
	}
	return l
}

func ids(metas []meta) []int {
	ids := make([]int, 0, len(metas))
	for _, m := range metas {
		ids = append(ids, m.ID)
	}
	return ids
}
