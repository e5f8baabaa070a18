package history

import (
	"fmt"
	"time"
)

// A timer and a channel for each message would cost more than storing it. So
// those who wait are in a list, in the order in which their time ends, with one
// timer for the first; and who has had his answer leaves the rest to the next.

// pending returns an empty message, for one put.
func (q *queue) pending() *pending {
	if p, ok := q.used.Get().(*pending); ok {
		return p
	}
	return &pending{answered: make(chan answer, 1)}
}

// recycle takes back a message that was stored and whose caller has had the
// answer, after which nobody else knows it.
func (q *queue) recycle(p *pending) {
	*p = pending{answered: p.answered}
	q.used.Put(p)
}

// await puts a message at the end of the list. The lock is held.
func (q *queue) await(p *pending) {
	p.waits, p.before, p.next = true, q.last, nil
	if q.last == nil {
		q.first = p
	} else {
		q.last.next = p
	}
	q.last = p
}

// unlink takes a message out of the list, if it is there. The lock is held.
func (q *queue) unlink(p *pending) {
	if !p.waits {
		return
	}
	if p.before == nil {
		q.first = p.next
	} else {
		p.before.next = p.next
	}
	if p.next == nil {
		q.last = p.before
	} else {
		p.next.before = p.before
	}
	p.waits, p.before, p.next = false, nil, nil
}

// withdraw takes a message out of the list before it is answered.
func (q *queue) withdraw(p *pending) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.unlink(p)
}

// settle does so with the messages of a batch that were stored, and counts them.
func (q *queue) settle(batch []*pending, verdicts []verdict) (stored int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, v := range verdicts {
		if v.status == statusStored {
			q.unlink(batch[i])
			stored++
		}
	}
	return stored
}

// arm sees to it that a message that was put expires.
func (q *queue) arm() {
	if !q.armed.Load() && !q.armed.Swap(true) {
		time.AfterFunc(q.timeout, q.expire)
	}
}

// expire answers those whose time is over.
func (q *queue) expire() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.collect()
	for p := q.first; p != nil; p = q.first {
		if rest := time.Until(p.until); rest > 0 {
			time.AfterFunc(rest, q.expire)
			return
		}
		q.unlink(p)
		kind := ErrUnknownOutcome
		if q.takeBack(p) {
			kind = ErrUnavailable
		}
		p.answer(0, fmt.Errorf("%w: no answer within %v", kind, q.timeout))
	}
	q.armed.Store(false)
	if q.inbox.Load() != nil { // put while there was a timer
		q.arm()
	}
}
