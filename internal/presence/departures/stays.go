package departures

import (
	"strings"
	"sync"
	"time"

	"github.com/trunkline/trunkline/internal/presence"
)

// maxWaiting bounds what waits to be written while Postgres is away. Who comes
// beyond it is not followed until they come again.
const maxWaiting = 1 << 20

// place is a key in a topic.
type place struct{ topic, key string }

// stay is one row.
type stay struct {
	place
	number   int64
	metas    int
	grace    time.Duration
	onlineAt time.Time
	leftAt   time.Time // zero while it lasts
	written  bool      // its beginning
}

// stays are those of this node, and what of them the database does not know.
type stays struct {
	mu      sync.Mutex
	now     map[place]*stay
	changed []*stay // in the order of the changes; who came and went is there once
	last    int64
	dropped int64
}

func newStays() *stays { return &stays{now: make(map[place]*stay)} }

// change follows the tracker. An update is a join and a leave of one place.
func (s *stays) change(joins, leaves []*presence.Entry, grace func(topic string) (time.Duration, bool)) (changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.changed)
	for _, e := range joins {
		s.join(e, grace)
	}
	for _, e := range leaves {
		s.leave(e)
	}
	return len(s.changed) > before
}

func (s *stays) join(e *presence.Entry, grace func(topic string) (time.Duration, bool)) {
	at := place{e.Topic, e.Key}
	if is := s.now[at]; is != nil {
		is.metas++
		return
	}
	g, followed := grace(e.Topic)
	if !followed || strings.IndexByte(e.Topic, 0) >= 0 || strings.IndexByte(e.Key, 0) >= 0 { // Postgres's text cannot hold it
		return
	}
	if len(s.changed) >= maxWaiting {
		s.dropped++
		return
	}
	s.last++
	is := &stay{place: at, number: s.last, metas: 1, grace: g, onlineAt: time.Now()}
	s.now[at] = is
	s.changed = append(s.changed, is)
}

func (s *stays) leave(e *presence.Entry) {
	at := place{e.Topic, e.Key}
	is := s.now[at]
	if is == nil {
		return
	}
	if is.metas--; is.metas > 0 {
		return
	}
	delete(s.now, at)
	is.leftAt = time.Now()
	if is.written {
		s.changed = append(s.changed, is)
	}
}

// batch is what is written at once. It is kept until its outcome is known.
type batch struct {
	came []*stay
	went []*stay // leftAt is set, once, before they get here
}

// take returns what is to be written, nil for nothing.
func (s *stays) take(rows int) *batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(rows, len(s.changed))
	if n == 0 {
		return nil
	}
	b := &batch{}
	for _, is := range s.changed[:n] {
		if !is.written {
			is.written = true
			b.came = append(b.came, is)
		}
		if !is.leftAt.IsZero() {
			b.went = append(b.went, is)
		}
	}
	if s.changed = s.changed[n:]; len(s.changed) == 0 {
		s.changed = nil
	}
	return b
}

// startOver says that the life is over under which all was written: who is
// still here comes anew. unwritten is a batch whose life ended before it.
func (s *stays) startOver(unwritten *batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var again []*stay
	// Who came and went meanwhile was not among those whose stays have ended.
	for _, is := range s.changed {
		if !is.written && !is.leftAt.IsZero() {
			again = append(again, is)
		}
	}
	if unwritten != nil {
		for _, is := range unwritten.came {
			if is.written = false; !is.leftAt.IsZero() {
				again = append(again, is)
			}
		}
	}
	for _, is := range s.now {
		is.written = false
		again = append(again, is)
	}
	s.changed = again
}
