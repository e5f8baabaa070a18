package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/trunkline/trunkline/test/harness"
)

const listTimeout = 10 * time.Second

var errAway = errors.New("the observer is not connected")

// An observer keeps the lists of its topics, of which the first is the busiest.
// It is present nowhere.
type observer struct {
	name    string
	home    int
	topics  []string
	cluster *cluster
	keys    bool // whether it reports which keys come and go
	lastRef int  // of the connection before; run's

	mu      sync.Mutex
	socket  *socket // nil while it is away
	lists   map[string]*list
	left    map[int]bool
	came    map[string]int // times, by topic and key
	went    map[string]int
	rate    rate
	joins   int
	replies map[string]chan reply // to lists that it asked for, by ref
}

func newObserver(name string, home int, topics []string, c *cluster) *observer {
	o := &observer{
		name: name, home: home, topics: topics, cluster: c,
		lists: map[string]*list{}, left: map[int]bool{}, came: map[string]int{}, went: map[string]int{},
		replies: map[string]chan reply{},
	}
	for _, topic := range topics {
		o.lists[topic] = &list{
			metas: map[string][]meta{}, left: func(id int) { o.left[id] = true },
			turned: func(key string, here bool) { o.turned(topic, key, here) },
		}
	}
	return o
}

// run keeps the observer connected until ctx ends.
func (o *observer) run(ctx context.Context) {
	for {
		o.connection(ctx)
		if !harness.Pause(ctx, between(retryLeast, retryMost)) {
			return
		}
	}
}

func (o *observer) connection(ctx context.Context) {
	s, err := dial(ctx, o.cluster.nodes[o.cluster.choose(o.home)].Address(), o.lastRef)
	if err != nil {
		return // the node is down
	}
	defer func() {
		s.close()
		o.lastRef = s.last()
	}()
	ctx, cancel := context.WithCancel(ctx)
	var working sync.WaitGroup
	defer working.Wait()
	defer cancel()
	working.Go(func() { s.keepAlive(ctx) })
	// Beside the reading: the first states are long.
	working.Go(func() {
		for _, topic := range o.topics {
			if _, err := s.push(ctx, topic, "phx_join", object{"observe": true}); err != nil {
				return
			}
		}
	})
	o.set(s)
	defer o.set(nil)
	for {
		_, frame, err := s.ws.Read(ctx)
		if err != nil {
			return
		}
		if err := o.handle(frame, s.joinRef, time.Now()); err != nil {
			return
		}
	}
}

func (o *observer) set(s *socket) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.socket = s
	o.rate.pause() // the limit is each node's
	for ref, waiting := range o.replies {
		close(waiting)
		delete(o.replies, ref)
	}
}

// cut ends the connection: the observer goes back to its node.
func (o *observer) cut() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.socket != nil {
		o.socket.close()
	}
}

// handle takes a frame. joinRef tells that of a topic's latest join.
func (o *observer) handle(frame []byte, joinRef func(topic string) string, now time.Time) error {
	m, err := harness.DecodeFrame(frame)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.lists[m.Topic]
	if l == nil {
		return nil // a heartbeat
	}
	switch m.Event {
	case "presence_state":
		return l.onState(m.Payload, joinRef(m.Topic))
	case "presence_diff":
		if m.Topic == o.topics[0] {
			o.rate.count(now)
		}
		return l.onDiff(m.Payload, joinRef(m.Topic))
	case "phx_reply":
		return o.replied(m)
	case "phx_error", "phx_close":
		return errRejoin
	}
	return nil
}

// replied is called with the lock held.
func (o *observer) replied(m message) error {
	var r reply
	if err := json.Unmarshal(m.Payload, &r); err != nil {
		return err
	}
	if r.Status != "ok" {
		return fmt.Errorf("reply on %s: %.200s", m.Topic, m.Payload)
	}
	if waiting := o.replies[m.Ref]; waiting != nil {
		waiting <- r
		delete(o.replies, m.Ref)
	} else if m.Ref == m.JoinRef {
		o.joins++
	}
	return nil
}

// ask asks the server for its list of a topic.
func (o *observer) ask(ctx context.Context, topic string) (listing, error) {
	waiting := make(chan reply, 1)
	o.mu.Lock()
	if o.socket == nil {
		o.mu.Unlock()
		return nil, errAway
	}
	ref, err := o.socket.push(ctx, topic, "list", object{})
	if err == nil {
		o.replies[ref] = waiting
	}
	o.mu.Unlock()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	select {
	case r, ok := <-waiting:
		if !ok {
			return nil, errAway
		}
		var p presences
		err := json.Unmarshal(r.Response, &p)
		return p.listing(), err
	case <-ctx.Done():
		return nil, fmt.Errorf("no list of %s: %w", topic, ctx.Err())
	}
}

// turned is called with the lock held.
func (o *observer) turned(topic, key string, here bool) {
	switch {
	case !o.keys:
	case here:
		o.came[place(topic, key)]++
	default:
		o.went[place(topic, key)]++
	}
}

// begin begins a phase.
func (o *observer) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.left)
	clear(o.came)
	clear(o.went)
	o.rate.most = 0
}

func (o *observer) report() report {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := report{
		Name: o.name, Node: o.home, Topics: map[string]listing{},
		Left: slices.Sorted(maps.Keys(o.left)), Most: o.rate.most, Joins: o.joins,
		Came: maps.Clone(o.came), Went: maps.Clone(o.went),
	}
	for topic, l := range o.lists {
		listed := make(listing, len(l.metas))
		for key, metas := range l.metas {
			listed[key] = ids(metas)
		}
		r.Topics[topic] = listed
	}
	return r
}

// agrees is report().agrees, without the copying.
func (o *observer) agrees(in intention) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for topic, l := range o.lists {
		if !l.agrees(in[topic]) {
			return false
		}
	}
	return true
}

// shows is report().shows, without the copying.
func (o *observer) shows(ids map[int]bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, l := range o.lists {
		for _, metas := range l.metas {
			if slices.ContainsFunc(metas, func(m meta) bool { return ids[m.ID] }) {
				return true
			}
		}
	}
	return false
}
