package presence

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// ErrAlreadyTracked is a join of an owner that is in the topic under the key
// already: use LeaveJoin.
var ErrAlreadyTracked = errors.New("already tracked")

// ErrNoPresence is an update of an owner that is not in the topic under the
// key.
var ErrNoPresence = errors.New("not tracked")

// State is what one replica knows of the set (Phoenix.Tracker.State).
type State struct {
	replica Replica
	context Context // of itself and of every replica it takes entries of
	clouds  Clouds  // what it knows above the context, not of itself
	values  Values
	topics  topics                     // without those of replicas that are down
	owners  map[Owner]map[place]*Entry // own entries only
	down    map[Replica]bool
	delta   *Delta // own changes since the last ResetDelta
}

// A place is where an owner is.
type place struct{ topic, key string }

// NewState is the empty set of a replica, which must be a new one: its version
// was never used before.
func NewState(replica Replica) *State {
	s := &State{
		replica: replica,
		context: Context{replica: 0},
		clouds:  make(Clouds),
		values:  make(Values),
		topics:  make(topics),
		owners:  make(map[Owner]map[place]*Entry),
		down:    make(map[Replica]bool),
	}
	s.ResetDelta()
	return s
}

// Replica is whose state it is.
func (s *State) Replica() Replica { return s.replica }

// Clocks returns the clock to tell the others. Replicas that are down are left
// out: a node that came up later, and ignores them, would ask for ever.
func (s *State) Clocks() Clock {
	context := maps.Clone(s.context)
	maps.DeleteFunc(context, func(r Replica, _ uint64) bool { return s.down[r] })
	return Clock{s.replica, context}
}

// Join adds the owner under the key in the topic. The meta is kept, and must
// not be changed any more. ErrAlreadyTracked if it is there.
func (s *State) Join(owner Owner, topic, key string, meta json.RawMessage) (*Entry, error) {
	if s.owners[owner][place{topic, key}] != nil {
		return nil, fmt.Errorf("owner %d, key %q in topic %q: %w", owner, key, topic, ErrAlreadyTracked)
	}
	return s.add(owner, topic, key, meta), nil
}

// LeaveJoin replaces the entry by one with another meta: a leave and a join in
// one delta. ErrNoPresence if it is not there.
func (s *State) LeaveJoin(owner Owner, topic, key string, meta json.RawMessage) (joined, left *Entry, err error) {
	left, ok := s.Leave(owner, topic, key)
	if !ok {
		return nil, nil, fmt.Errorf("owner %d, key %q in topic %q: %w", owner, key, topic, ErrNoPresence)
	}
	return s.add(owner, topic, key, meta), left, nil
}

// Leave removes the owner's entry under the key in the topic and returns it;
// false if there is none.
func (s *State) Leave(owner Owner, topic, key string) (*Entry, bool) {
	e := s.owners[owner][place{topic, key}]
	if e == nil {
		return nil, false
	}
	s.removeOwn([]*Entry{e})
	return e, true
}

// LeaveOwner removes all entries of the owner and returns them, sorted.
func (s *State) LeaveOwner(owner Owner) []*Entry {
	left := s.GetByOwner(owner)
	s.removeOwn(left)
	return left
}

// Get returns the own entry of the owner under the key in the topic.
func (s *State) Get(owner Owner, topic, key string) (*Entry, bool) {
	e := s.owners[owner][place{topic, key}]
	return e, e != nil
}

// GetByOwner returns the own entries of the owner, sorted.
func (s *State) GetByOwner(owner Owner) []*Entry {
	entries := slices.AppendSeq(make([]*Entry, 0, len(s.owners[owner])), maps.Values(s.owners[owner]))
	sortEntries(entries)
	return entries
}

// GetByTopic returns the entries of a topic whose replicas are up, sorted.
func (s *State) GetByTopic(topic string) []*Entry { return slices.Clone(s.topics[topic]) }

// GetByKey returns the entries of a key in a topic whose replicas are up,
// sorted.
func (s *State) GetByKey(topic, key string) []*Entry { return slices.Clone(s.topics.byKey(topic, key)) }

// OnlineList returns all entries whose replicas are up, sorted.
func (s *State) OnlineList() []*Entry {
	list := make([]*Entry, 0, s.values.Len())
	for _, topic := range slices.Sorted(maps.Keys(s.topics)) {
		list = append(list, s.topics[topic]...)
	}
	return list
}

// Len counts the entries, those of replicas that are down too.
func (s *State) Len() int { return s.values.Len() }

// HasDelta says whether the own entries changed since the last ResetDelta.
func (s *State) HasDelta() bool { return !s.delta.Empty() }

// ResetDelta returns the own changes since the last time, to be broadcast, and
// starts anew. Unlike Phoenix's, it holds own tags only: what others removed,
// they have told themselves, or a transfer tells.
func (s *State) ResetDelta() *Delta {
	done := s.delta
	clock := s.context[s.replica]
	s.delta = newDelta()
	s.delta.Range = Range{Context{s.replica: clock}, Context{s.replica: clock}}
	return done
}

func (s *State) add(owner Owner, topic, key string, meta json.RawMessage) *Entry {
	e := &Entry{Topic: topic, Owner: owner, Key: key, Meta: meta, Tag: Tag{s.replica, s.tick()}}
	s.values.put(e)
	s.topics.insert([]*Entry{e})
	places := s.owners[owner]
	if places == nil {
		places = make(map[place]*Entry)
		s.owners[owner] = places
	}
	places[place{topic, key}] = e
	s.delta.Values.put(e)
	return e
}

// removeOwn takes out own entries, which must be sorted: one tick for each.
func (s *State) removeOwn(entries []*Entry) {
	s.topics.remove(entries)
	for _, e := range entries {
		s.values.remove(e.Tag)
		places := s.owners[e.Owner]
		delete(places, place{e.Topic, e.Key})
		if len(places) == 0 {
			delete(s.owners, e.Owner)
		}
		s.delta.Values.remove(e.Tag)
		s.delta.addTag(e.Tag)
		s.tick()
	}
}

// tick raises the own clock by one.
func (s *State) tick() uint64 {
	clock := s.context[s.replica] + 1
	s.context[s.replica] = clock
	s.delta.addTag(Tag{s.replica, clock})
	s.delta.Range.End[s.replica] = clock
	return clock
}
