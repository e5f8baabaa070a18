package trunkline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trunkline/trunkline/internal/history"
	"github.com/trunkline/trunkline/internal/realtime"
)

// errStarting is returned before Run has joined the cluster.
var errStarting = errors.New("the server is not running yet")

// Publish stores a message on a durable topic and returns its id once it is
// committed; every subscriber then gets it once, in order. The payload must be
// an object without the id key. See ErrUnknownOutcome for a lost answer.
func (s *Server) Publish(ctx context.Context, topic, event string, payload any) (id int64, err error) {
	return s.change(payload, func(h *history.History, data []byte) (int64, error) {
		return h.Publish(ctx, topic, event, data, nextKey(ctx))
	})
}

// UpdateMessage replaces the payload of a stored message. It is itself a stored
// event of the topic, message_updated, whose id is returned.
func (s *Server) UpdateMessage(ctx context.Context, topic string, messageID int64, payload any) (id int64, err error) {
	return s.change(payload, func(h *history.History, data []byte) (int64, error) {
		return h.Update(ctx, topic, messageID, data)
	})
}

// DeleteMessage deletes the payload of a stored message; its place stays. It is
// itself a stored event, message_deleted, whose id is returned.
func (s *Server) DeleteMessage(ctx context.Context, topic string, messageID int64) (id int64, err error) {
	return s.change(nil, func(h *history.History, _ []byte) (int64, error) {
		return h.Delete(ctx, topic, messageID)
	})
}

// PublishTx publishes as a part of the application's transaction: stored if and
// only if it commits. It takes no lock; the id is given after the commit.
func (s *Server) PublishTx(ctx context.Context, tx pgx.Tx, topic, event string, payload any) error {
	_, err := s.change(payload, func(h *history.History, data []byte) (int64, error) {
		return 0, h.PublishTx(ctx, tx, topic, event, data, nextKey(ctx))
	})
	return err
}

// StoredMessage is a message of a durable topic as it stands now.
type StoredMessage struct {
	ID         int64
	Event      string
	Payload    Payload // with the id, as subscribers got it; {} when deleted
	Deleted    bool
	InsertedAt time.Time
}

// Messages returns up to limit stored messages with ids above after, ascending,
// and whether there are more. What another node stored a moment ago is found.
func (s *Server) Messages(ctx context.Context, topic string, after int64, limit int) (messages []StoredMessage, more bool, err error) {
	h := s.history.Load()
	if h == nil {
		return nil, false, errStarting
	}
	page, err := h.After(ctx, topic, after, limit)
	if err == nil && len(page.Messages) == 0 {
		// This node's memory may not know of it yet; Before asks the database.
		page, err = h.Before(ctx, topic, after+int64(limit)+1, limit)
	}
	if err != nil {
		return nil, false, err
	}
	for _, m := range page.Messages {
		if m.ID <= after {
			continue
		}
		messages = append(messages, StoredMessage{
			ID: m.ID, Event: m.Event, Payload: Payload{realtime.Payload{Data: m.Payload}},
			Deleted: m.Deleted, InsertedAt: m.InsertedAt,
		})
	}
	return messages, len(messages) > 0 && messages[len(messages)-1].ID < page.Head, nil
}

// Unread counts, for each topic, the messages that are newer than what user has
// marked with the event "seen".
func (s *Server) Unread(ctx context.Context, user string, topics []string) (map[string]int64, error) {
	h := s.history.Load()
	if h == nil {
		return nil, errStarting
	}
	return h.Unread(ctx, user, topics)
}

func (s *Server) change(payload any, f func(*history.History, []byte) (int64, error)) (int64, error) {
	h := s.history.Load()
	if h == nil {
		return 0, errStarting
	}
	if raw, ok := payload.(json.RawMessage); ok {
		return f(h, bytes.Clone(raw)) // who stores it checks it; the caller may use its bytes again
	}
	p, err := encode(payload)
	if err != nil {
		return 0, err
	}
	if p.Binary {
		return 0, fmt.Errorf("%w: binary", history.ErrPayload)
	}
	return f(h, p.Data)
}

// Publish is Server.Publish on the channel's topic. Within HandleIn, pass its
// context: it carries the idempotency key of the client's push.
func (s *Socket) Publish(ctx context.Context, event string, payload any) (id int64, err error) {
	return s.handler.srv.Publish(ctx, s.Topic(), event, payload)
}

// UpdateMessage is Server.UpdateMessage on the channel's topic.
func (s *Socket) UpdateMessage(ctx context.Context, messageID int64, payload any) (id int64, err error) {
	return s.handler.srv.UpdateMessage(ctx, s.Topic(), messageID, payload)
}

// DeleteMessage is Server.DeleteMessage on the channel's topic.
func (s *Socket) DeleteMessage(ctx context.Context, messageID int64) (id int64, err error) {
	return s.handler.srv.DeleteMessage(ctx, s.Topic(), messageID)
}

type keyOfContext struct{}

// pushKey is an idempotency key and how often it was used.
type pushKey struct {
	key  string
	used atomic.Int64
}

// WithKey returns a context whose publishes carry an idempotency key: a repeat
// with the same key and topic returns the first id and publishes nothing, for
// 24 hours. Where several messages are published with one such context, each
// repeats by its place.
func WithKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, keyOfContext{}, &pushKey{key: key})
}

// nextKey is the key for the next publish with ctx, "" for none.
func nextKey(ctx context.Context) string {
	k, ok := ctx.Value(keyOfContext{}).(*pushKey)
	if !ok {
		return ""
	}
	if n := k.used.Add(1); n > 1 {
		return k.key + "#" + strconv.FormatInt(n, 10)
	}
	return k.key
}
