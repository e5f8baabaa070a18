package main

import (
	"maps"
	"sync"
)

// An entry is one meta that should be shown: who shows it, and where.
type entry struct {
	key  string
	node int // the index of the member's node
}

// An intention is what should be shown: entries by topic and id.
type intention map[string]map[int]entry

// A roll is what the members intend at this moment.
type roll struct {
	mu     sync.Mutex
	lastID int
	live   intention
}

func newRoll() *roll { return &roll{live: intention{}} }

// enter returns the id of a new meta.
func (r *roll) enter(topic, key string, node int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lastID++
	if r.live[topic] == nil {
		r.live[topic] = map[int]entry{}
	}
	r.live[topic][r.lastID] = entry{key, node}
	return r.lastID
}

// strike takes a meta off.
func (r *roll) strike(topic string, id int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.live[topic], id)
}

func (r *roll) intention() intention {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := make(intention, len(r.live))
	for topic, entries := range r.live {
		now[topic] = maps.Clone(entries)
	}
	return now
}

// idsOf are all ids of a node.
func (in intention) idsOf(node int) map[int]bool {
	ids := map[int]bool{}
	for _, entries := range in {
		for id, e := range entries {
			if e.node == node {
				ids[id] = true
			}
		}
	}
	return ids
}

// idsOfKeys are all ids under any of the keys.
func (in intention) idsOfKeys(keys map[string]*member) map[int]bool {
	ids := map[int]bool{}
	for _, entries := range in {
		for id, e := range entries {
			if keys[e.key] != nil {
				ids[id] = true
			}
		}
	}
	return ids
}

// all are the entries of all topics by id.
func (in intention) all() map[int]entry {
	all := map[int]entry{}
	for _, entries := range in {
		maps.Copy(all, entries)
	}
	return all
}
