package trunkline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/trunkline/trunkline/internal/history"
)

// historyRequest is the payload of the event "history".
type historyRequest struct {
	Before *int64 `json:"before"`
	After  *int64 `json:"after"`
	Limit  *int   `json:"limit"`
}

// historyReply answers it; messages are always ascending.
type historyReply struct {
	Messages json.RawMessage `json:"messages"`
	More     bool            `json:"more"`
}

func failReason(format string, args ...any) Reply {
	return Fail(map[string]any{"reason": fmt.Sprintf(format, args...)})
}

// pageHistory answers the event "history".
func (h *handler) pageHistory(ctx context.Context, p Payload) Reply {
	var r historyRequest
	if err := p.Decode(&r); err != nil {
		return failReason(`want {"before" or "after": id, "limit": n} with integers`)
	}
	limit := h.durable.PageSize
	if r.Limit != nil {
		limit = *r.Limit
	}
	switch {
	case (r.Before == nil) == (r.After == nil):
		return failReason(`want exactly one of "before" and "after"`)
	case limit < 1:
		return failReason("limit is %d: want 1 to %d", limit, h.durable.PageSize)
	}
	limit = min(limit, h.durable.PageSize)
	var page history.Page
	var err error
	hist := h.srv.history.Load()
	if r.Before != nil {
		page, err = hist.Before(ctx, h.socket.Topic(), *r.Before, limit)
	} else {
		page, err = hist.After(ctx, h.socket.Topic(), *r.After, limit)
	}
	if err != nil {
		return h.historyFailed(err)
	}
	return OK(historyReply{Messages: entries(page.Messages), More: page.More})
}

// markSeen answers the event "seen".
func (h *handler) markSeen(ctx context.Context, p Payload) Reply {
	var r struct {
		ID *int64 `json:"id"`
	}
	if err := p.Decode(&r); err != nil || r.ID == nil || *r.ID < 0 {
		return failReason(`want {"id": n}, the newest message that was read`)
	}
	user := h.durable.Reader(&h.socket)
	if user == "" {
		return failReason("this connection names no user")
	}
	unread, err := h.srv.history.Load().Seen(ctx, h.socket.Topic(), user, *r.ID)
	if err != nil {
		return h.historyFailed(err)
	}
	return OK(map[string]any{"unread": unread})
}

// historyFailed tells the client that the database did not answer.
func (h *handler) historyFailed(err error) Reply {
	h.socket.channel.Log().Warn("history not read", "error", err)
	return failReason(unavailableReason)
}

const unavailableReason = "history is not available, try again"

// takeKey takes the idempotency key out of a push on a durable topic.
func takeKey(p Payload) (rest Payload, key string, err error) {
	var object map[string]json.RawMessage
	if p.p.Binary || len(p.p.Data) == 0 || p.p.Data[0] != '{' {
		return p, "", nil
	}
	if err := json.Unmarshal(p.p.Data, &object); err != nil {
		return p, "", fmt.Errorf("payload: %w", err)
	}
	raw, ok := object["key"]
	if !ok {
		return p, "", nil
	}
	if err := json.Unmarshal(raw, &key); err != nil || key == "" {
		return p, "", errors.New(`"key" must be a string that is not empty`)
	}
	delete(object, "key")
	out, err := encode(object)
	return Payload{out}, key, err
}

// Published turns the result of Publish, UpdateMessage and DeleteMessage into
// the reply to a push: {"id": N}; an error reply, which means that nothing was
// stored; or no reply where that cannot be known, so that the client repeats
// its push with its key.
func Published(id int64, err error) Reply {
	switch {
	case err == nil:
		return OK(map[string]any{"id": id})
	case errors.Is(err, ErrUnknownOutcome):
		return NoReply
	default:
		return failReason("%s", clientReason(err))
	}
}

// clientReason words an error for clients, without what is only for operators.
func clientReason(err error) string {
	for _, known := range []error{
		history.ErrReservedKey, history.ErrPayload, history.ErrEvent, history.ErrKey,
		history.ErrNotFound, history.ErrNotDurable, history.ErrQueueFull,
	} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return "the message could not be stored, try again"
}
