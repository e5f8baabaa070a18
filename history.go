package trunkline

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/trunkline/trunkline/internal/history"
	"github.com/trunkline/trunkline/internal/realtime"
)

// HistoryOptions of durable topics. Zero values take the defaults.
type HistoryOptions struct {
	// IDKey is the key under which a delivered payload holds its id. Default
	// "id". A payload that is published with that key is refused.
	IDKey string
	// MaxAge and MaxCount are how long, and how many, messages of a topic are
	// kept. Zero keeps all.
	MaxAge   time.Duration
	MaxCount int64
	// Last is how many of the newest messages a join gets that names neither
	// last_seen_id nor last. Default 0.
	Last int
	// PageSize is the most messages in a join's reply and in a reply to
	// "history". Default 100; at most 1000.
	PageSize int
	// Reader names the user for the event "seen" and for unread counts; ""
	// refuses it. Default: Socket.ID.
	Reader func(*Socket) string
}

// Errors of Publish, UpdateMessage and DeleteMessage.
var (
	// ErrNotDurable: no pattern of Server.Durable matches the topic.
	ErrNotDurable = history.ErrNotDurable
	// ErrUnknownOutcome: the database did not tell whether the message was
	// stored. A repeat with the same idempotency key is safe.
	ErrUnknownOutcome = history.ErrUnknownOutcome
	// ErrMessageNotFound: there is no such message to change, or it was deleted.
	ErrMessageNotFound = history.ErrNotFound
)

// durable is a pattern of Server.Durable.
type durable struct {
	pattern realtime.Pattern
	text    string
	options HistoryOptions
}

// Durable makes the topics that match pattern durable: what is published on
// them is stored, numbered from 1 without gaps, and delivered to every
// subscriber once and in order, also to those that were away when they join
// with last_seen_id; docs/protocol.md has the contract. The first declared
// match counts. Call it before Run. A bad pattern is a panic.
func (s *Server) Durable(pattern string, o HistoryOptions) {
	p, err := realtime.ParsePattern(pattern)
	if err != nil {
		panic(fmt.Sprintf("trunkline: %v", err))
	}
	if o.IDKey == "" {
		o.IDKey = "id"
	}
	if o.PageSize == 0 {
		o.PageSize = 100
	}
	if o.Reader == nil {
		o.Reader = (*Socket).ID
	}
	s.durables = append(s.durables, durable{pattern: p, text: pattern, options: o})
}

// durableTopic returns the options of a durable topic, nil for another.
func (s *Server) durableTopic(topic string) *HistoryOptions {
	for i := range s.durables {
		if s.durables[i].pattern.Match(topic) {
			return &s.durables[i].options
		}
	}
	return nil
}

// newHistory makes the history of the declared patterns.
func (s *Server) newHistory() (*history.History, error) {
	var patterns []history.Pattern
	for _, d := range s.durables {
		o := d.options
		patterns = append(patterns, history.Pattern{
			Pattern: d.text, IDKey: o.IDKey, MaxAge: o.MaxAge, MaxCount: o.MaxCount, Last: o.Last, PageSize: o.PageSize,
		})
	}
	return history.New(history.Config{
		Pool:      s.pool,
		DirectURL: s.cfg.DatabaseDirectURL,
		Schema:    s.cfg.Schema,
		Bus:       s.bus,
		Patterns:  patterns,
		Prepare:   s.prepare,
		Deliver:   func(_ string, messages []*history.Message) { s.engine.Deliver(broadcasts(messages)) },
		Reset:     s.engine.Reset,
		Broadcast: func(topic, event string, payload []byte) {
			if err := s.engine.Broadcast(topic, event, realtime.Payload{Data: payload}); err != nil {
				s.cfg.Logger.Warn("broadcast of an SQL transaction not sent", "topic", topic, "error", err)
			}
		},
		// As long as phoenix.js waits for a join.
		ReadTimeout: 10 * time.Second,
		Logger:      s.cfg.Logger,
		Registerer:  s.registerer,
	})
}

// storedMessage is a message in memory as it goes to clients: its frames, and
// its entry in replies, are made once for all who get it, live or later.
type storedMessage struct {
	broadcast realtime.Broadcast
	once      sync.Once
	encoded   []byte
}

// prepare makes the storedMessage of a message. A deleted one is broadcast as
// its id and the fact.
func (s *Server) prepare(topic string, m *history.Message) any {
	payload := m.Payload
	if m.Deleted {
		payload = fmt.Appendf(nil, `{%q:%d,"deleted":true}`, s.idKey(topic), m.ID)
	}
	stored := &storedMessage{}
	stored.broadcast.Topic, stored.broadcast.Event, stored.broadcast.ID = topic, m.Event, m.ID
	stored.broadcast.Payload = realtime.Payload{Data: payload}
	return stored
}

// entry is the message in the array of a reply.
func (s *storedMessage) entry(m *history.Message) []byte {
	s.once.Do(func() {
		e := historyEntry{ID: m.ID, Event: m.Event, Payload: m.Payload, Deleted: m.Deleted, InsertedAt: m.InsertedAt}
		if m.Deleted {
			e.Payload = nil
		}
		p, err := encode(e)
		if err != nil { // the payload is JSON: the database and the scanner saw to it
			panic(err)
		}
		s.encoded = p.Data
	})
	return s.encoded
}

func (s *Server) idKey(topic string) string {
	if o := s.durableTopic(topic); o != nil {
		return o.IDKey
	}
	return "id"
}

// broadcasts returns messages as they go to clients.
func broadcasts(messages []*history.Message) []*realtime.Broadcast {
	out := make([]*realtime.Broadcast, len(messages))
	for i, m := range messages {
		out[i] = &m.Shared.(*storedMessage).broadcast
	}
	return out
}

// stored is the history as the engine meets it.
type stored struct{ s *Server }

// catchUpPage is how many messages a follower that is behind reads at a time.
const catchUpPage = 256

// After returns what is stored, as it goes to clients.
func (h stored) After(ctx context.Context, topic string, after int64) (messages []*realtime.Broadcast, head int64, err error) {
	page, err := h.s.history.Load().After(ctx, topic, after, catchUpPage)
	if err != nil {
		return nil, 0, err
	}
	return broadcasts(page.Messages), page.Head, nil
}

func (h stored) AtHead(topic string, f func(int64)) { h.s.history.Load().AtHead(topic, f) }
