package jobs

import (
	"encoding/json"
	"sync"
	"time"
)

// An Answer is the result of a job, for who asked for it.
type Answer struct {
	Key      string
	Status   string
	Response json.RawMessage
}

// A Waiter is a client on this node that waits for an answer. Its methods must
// not block.
type Waiter interface {
	// Channel identifies the channel that it belongs to.
	Channel() any
	// Answer hands the answer to the client; false when its channel has ended.
	Answer(Answer) bool
	// Push hands on what the job tells meanwhile.
	Push(event string, payload json.RawMessage)
}

// waiters are the clients of this node that wait, by reply.
type waiters struct {
	mu       sync.Mutex
	replies  map[int64]*waiting
	channels map[any]map[int64]struct{} // which replies a channel waits for
	standbys int
}

// waiting is who waits for one reply. Those who asked get it in any case;
// standbys have the same requester, and one gets it where nobody else did.
type waiting struct {
	key      string
	asked    []asker
	standbys []Waiter
}

type asker struct {
	Waiter
	at time.Time
}

func newWaiters() *waiters {
	return &waiters{replies: map[int64]*waiting{}, channels: map[any]map[int64]struct{}{}}
}

// ask adds who asked; it is ErrTooMany when the channel waits for too many.
func (w *waiters) ask(id int64, key string, who Waiter) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.channels[who.Channel()]) >= MaxWaiting {
		return ErrTooMany
	}
	r := w.reply(id, key, who)
	r.asked = append(r.asked, asker{Waiter: who, at: time.Now()})
	return nil
}

// standBy adds one who takes what nobody else does.
func (w *waiters) standBy(id int64, key string, who Waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.channels[who.Channel()]) >= MaxWaiting {
		return
	}
	r := w.reply(id, key, who)
	r.standbys = append(r.standbys, who)
	w.standbys++
}

func (w *waiters) reply(id int64, key string, who Waiter) *waiting {
	r := w.replies[id]
	if r == nil {
		r = &waiting{key: key}
		w.replies[id] = r
	}
	ids := w.channels[who.Channel()]
	if ids == nil {
		ids = map[int64]struct{}{}
		w.channels[who.Channel()] = ids
	}
	ids[id] = struct{}{}
	return r
}

// leave forgets a channel that has ended.
func (w *waiters) leave(channel any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id := range w.channels[channel] {
		r := w.replies[id]
		if r == nil {
			continue
		}
		r.asked = without(r.asked, channel)
		before := len(r.standbys)
		r.standbys = without(r.standbys, channel)
		w.standbys -= before - len(r.standbys)
		if len(r.asked) == 0 && len(r.standbys) == 0 {
			delete(w.replies, id)
		}
	}
	delete(w.channels, channel)
}

func without[W Waiter](all []W, channel any) (rest []W) {
	for _, who := range all {
		if who.Channel() != channel {
			rest = append(rest, who)
		}
	}
	return rest
}

// take removes and returns who waits for a reply.
func (w *waiters) take(id int64) (key string, asked []asker, standbys []Waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.replies[id]
	if r == nil {
		return "", nil, nil
	}
	delete(w.replies, id)
	w.standbys -= len(r.standbys)
	for _, who := range r.asked {
		w.forget(who, id)
	}
	for _, who := range r.standbys {
		w.forget(who, id)
	}
	return r.key, r.asked, r.standbys
}

func (w *waiters) forget(who Waiter, id int64) {
	ids := w.channels[who.Channel()]
	delete(ids, id)
	if len(ids) == 0 {
		delete(w.channels, who.Channel())
	}
}

// of returns who asked for a reply, to be told of its progress.
func (w *waiters) of(id int64) []asker {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r := w.replies[id]; r != nil {
		return r.asked[:len(r.asked):len(r.asked)]
	}
	return nil
}

// ids returns the replies that were asked for here, and those that somebody
// stands by for.
func (w *waiters) ids() (asked, standby []int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, r := range w.replies {
		if len(r.asked) > 0 {
			asked = append(asked, id)
		}
		if len(r.standbys) > 0 {
			standby = append(standby, id)
		}
	}
	return asked, standby
}

func (w *waiters) standingBy() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.standbys > 0
}

func (w *waiters) len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.replies)
}
