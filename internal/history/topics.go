package history

import "sync"

// maxTopics bounds the topics whose ids are remembered.
const maxTopics = 100_000

// topics remembers the ids of topics, which never change within a generation of
// the database.
type topics struct {
	mu         sync.Mutex
	generation int64
	refs       map[string]topicRef
}

// A topicRef says which stream a topic's name stands for.
type topicRef struct {
	id         int64  // 0: there is none
	epoch      string // of the topic alone
	generation int64
}

// epochString is what clients compare.
func (r topicRef) epochString() string { return epochString(r.epoch, r.generation) }

func (t *topics) get(name string, generation int64) (topicRef, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if generation != t.generation {
		return topicRef{}, false
	}
	ref, ok := t.refs[name]
	return ref, ok
}

// put remembers what was found. What an older generation knew is forgotten.
func (t *topics) put(states map[string]topicState, generation int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if generation < t.generation {
		return
	}
	if generation > t.generation || len(t.refs)+len(states) > maxTopics {
		t.generation = generation
		t.refs = make(map[string]topicRef, len(states))
	}
	for name, s := range states {
		t.refs[name] = topicRef{id: s.id, epoch: s.epoch, generation: generation}
	}
}

func (t *topics) forget(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.refs, name)
}
