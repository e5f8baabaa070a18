package main

import (
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trunkline/trunkline/test/history/verify"
)

// A stream is one topic as one subscriber sees it. Of what it has received the
// application keeps last and epoch; the record is the checker's.
type stream struct {
	replayEvents bool // asks for missed messages as events
	delivered    *atomic.Int64

	mu     sync.Mutex // guards the following
	last   int64
	epoch  string
	born   bool // the topic had messages when epoch came
	record verify.Stream
}

// joinParams are what it joins with.
func (s *stream) joinParams() object {
	s.mu.Lock()
	defer s.mu.Unlock()
	params := object{"last_seen_id": s.last}
	if s.epoch != "" {
		params["epoch"] = s.epoch
	}
	if s.replayEvents {
		params["replay"] = "events"
	}
	return params
}

// joined is the reply to a join.
type joined struct {
	Messages []struct {
		ID         int64           `json:"id"`
		Event      string          `json:"event"`
		Payload    json.RawMessage `json:"payload"`
		InsertedAt time.Time       `json:"inserted_at"`
		Deleted    bool            `json:"deleted"`
	} `json:"messages"`
	LastID    *int64 `json:"last_id"`
	More      *bool  `json:"more"`
	Epoch     string `json:"epoch"`
	Reset     bool   `json:"reset"`
	Truncated bool   `json:"truncated"`
}

// onJoin takes the reply to a join, and believes it.
func (s *stream) onJoin(response json.RawMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var j joined
	if err := json.Unmarshal(response, &j); err != nil {
		s.complain("join reply %.200q: %v", response, err)
		return
	}
	if j.LastID == nil || j.More == nil || j.Messages == nil || j.Epoch == "" {
		s.complain("join reply without messages, last_id, more or epoch: %.200q", response)
		return
	}
	if j.Reset || j.Truncated {
		s.complain("join with last_seen_id %d answered with reset %v, truncated %v, last_id %d", s.last, j.Reset, j.Truncated, *j.LastID)
	}
	if s.born && j.Epoch != s.epoch {
		s.complain("the epoch changed from %q to %q", s.epoch, j.Epoch)
	}
	if s.replayEvents && len(j.Messages) > 0 {
		s.complain("the join asked for events and got %d messages in the reply", len(j.Messages))
	}
	before, newest := s.last, s.last
	for _, m := range j.Messages {
		if m.Deleted || m.InsertedAt.IsZero() {
			s.complain("message %d in a join reply: deleted %v, inserted_at %v", m.ID, m.Deleted, m.InsertedAt)
		}
		newest = s.take(m.Event, m.Payload)
		if newest != m.ID {
			s.complain("a join reply has the message %d with the id %d in its payload", m.ID, newest)
		}
	}
	if *j.LastID != newest {
		s.complain("the reply to a join with last_seen_id %d has messages to %d and last_id %d, more %v", before, newest, *j.LastID, *j.More)
	}
	s.last, s.epoch, s.born = *j.LastID, j.Epoch, *j.LastID > 0
}

// onEvent takes a message that came as an event.
func (s *stream) onEvent(event string, payload json.RawMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id := s.take(event, payload); id > 0 {
		s.last = id
	}
}

// take records a message and returns its id. The caller holds mu.
func (s *stream) take(event string, payload json.RawMessage) int64 {
	p, err := verify.ParsePayload(payload)
	if err != nil {
		s.complain("event %s: %v", event, err)
	}
	s.record.Deliveries = append(s.record.Deliveries, verify.Delivery{ID: p.ID, Event: event, Key: p.Key, Payload: p.Whole})
	s.delivered.Add(1)
	return p.ID
}

// maxComplaints of a stream are enough to see what is wrong.
const maxComplaints = 10

// complain records what the contract rules out. The caller holds mu.
func (s *stream) complain(format string, arguments ...any) {
	if len(s.record.Complaints) == maxComplaints {
		return
	}
	s.record.Complaints = append(s.record.Complaints, fmt.Sprintf(format, arguments...))
}

// at is the newest id that the application has.
func (s *stream) at() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}
