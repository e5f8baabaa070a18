package trunkline

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/trunkline/trunkline/internal/history"
	"github.com/trunkline/trunkline/internal/realtime"
)

// joinParams are what a join of a durable topic may ask for.
type joinParams struct {
	LastSeenID *int64 `json:"last_seen_id"`
	Last       *int   `json:"last"`
	Epoch      string `json:"epoch"`
	Replay     string `json:"replay"`
}

// historyEntry is one message in a reply.
type historyEntry struct {
	ID         int64           `json:"id"`
	Event      string          `json:"event"`
	Payload    json.RawMessage `json:"payload,omitempty"`
	Deleted    bool            `json:"deleted,omitempty"`
	InsertedAt time.Time       `json:"inserted_at"`
}

// entries is the JSON array of messages, each encoded once for all who get it.
func entries(messages []*history.Message) json.RawMessage {
	out := []byte{'['}
	for i, m := range messages {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, m.Shared.(*storedMessage).entry(m)...)
	}
	return append(out, ']')
}

// caughtUp is what a join's reply says of the history.
type caughtUp struct {
	messages  []*history.Message
	LastID    int64  `json:"last_id"`
	More      bool   `json:"more"`
	Epoch     string `json:"epoch"`
	Reset     bool   `json:"reset,omitempty"`
	Truncated bool   `json:"truncated,omitempty"`
	OldestID  int64  `json:"oldest_id,omitempty"`
}

// joinKeys are the keys of a join's reply that belong to the history.
var joinKeys = []string{"messages", "last_id", "more", "epoch", "reset", "truncated", "oldest_id"}

// badJoin refuses a join whose parameters cannot be.
func badJoin(format string, args ...any) error {
	return Reject(map[string]any{"reason": fmt.Sprintf(format, args...)})
}

func parseJoin(params Payload) (p joinParams, err error) {
	if params.p.Binary || len(params.p.Data) == 0 || params.p.Data[0] != '{' {
		return p, nil // any JSON value is a legal payload of a join
	}
	if err := params.Decode(&p); err != nil {
		return p, badJoin("bad join parameters: last_seen_id and last are integers, epoch and replay strings")
	}
	switch {
	case p.LastSeenID != nil && *p.LastSeenID < 0:
		return p, badJoin("last_seen_id is %d: want 0 or more", *p.LastSeenID)
	case p.Last != nil && *p.Last < 0:
		return p, badJoin("last is %d: want 0 or more", *p.Last)
	case p.Replay != "" && p.Replay != "events":
		return p, badJoin(`replay is %q: want "events" or nothing`, p.Replay)
	}
	return p, nil
}

// catchUp reads what the reply of a join holds.
func catchUp(ctx context.Context, h *history.History, topic string, o *HistoryOptions, p joinParams) (c caughtUp, err error) {
	if p.LastSeenID == nil {
		n := o.Last
		if p.Last != nil {
			n = *p.Last
		}
		return newest(ctx, h, topic, min(n, o.PageSize))
	}
	last := *p.LastSeenID
	page, err := h.After(ctx, topic, last, o.PageSize)
	if err != nil {
		return c, err
	}
	if last > page.Head || (p.Epoch != "" && !history.SameEpoch(p.Epoch, page.Epoch)) {
		c, err = newest(ctx, h, topic, o.PageSize)
		c.Reset = true
		return c, err
	}
	c = caughtUp{messages: page.Messages, LastID: last, More: page.More, Epoch: page.Epoch}
	if page.Oldest > last+1 {
		c.Truncated, c.OldestID = true, page.Oldest
	}
	if p.Replay == "events" {
		c.More = len(page.Messages) > 0
		c.messages = nil
	} else if n := len(page.Messages); n > 0 {
		c.LastID = page.Messages[n-1].ID
	}
	if !c.More {
		// Also where retention left nothing to read.
		c.LastID = page.Head
	}
	return c, nil
}

// asEvents leaves the messages to follow as events.
func (c caughtUp) asEvents() caughtUp {
	c.LastID, c.More = c.messages[0].ID-1, true
	c.messages = nil
	return c
}

func newest(ctx context.Context, h *history.History, topic string, n int) (caughtUp, error) {
	page, err := h.Newest(ctx, topic, n)
	return caughtUp{messages: page.Messages, LastID: page.Head, Epoch: page.Epoch}, err
}

// joinDurable is Join of a channel of a durable topic: the application decides,
// and the reply tells what the client missed.
func (h *handler) joinDurable(ctx context.Context, c *realtime.Channel, params Payload) (realtime.Payload, error) {
	p, err := parseJoin(params)
	if err != nil {
		return realtime.Payload{}, rejected(err)
	}
	hist := h.srv.history.Load()
	if hist == nil {
		return realtime.Payload{}, rejected(badJoin("the server is starting"))
	}
	reply, err := h.channel.Join(ctx, &h.socket, params)
	if err != nil {
		return realtime.Payload{}, rejected(err)
	}
	release, err := hist.Follow(ctx, c.Topic())
	if err != nil {
		return realtime.Payload{}, h.unavailable(err)
	}
	h.release = release
	missed, err := catchUp(ctx, hist, c.Topic(), h.durable, p)
	if err != nil {
		release()
		return realtime.Payload{}, h.unavailable(err)
	}
	merged, err := mergeReply(reply, missed)
	if err == nil && len(missed.messages) > 0 && !c.Reserve(len(merged.Data)) {
		missed = missed.asEvents()
		merged, err = mergeReply(reply, missed)
	}
	if err != nil {
		release()
		return realtime.Payload{}, err
	}
	if err := h.claim(c, params); err != nil {
		release()
		return realtime.Payload{}, rejected(err)
	}
	c.Follow(missed.LastID)
	return merged, nil
}

// unavailable refuses a join because of the database: the client tries again.
func (h *handler) unavailable(err error) error {
	h.socket.channel.Log().Warn("join refused: the history cannot be read", "error", err)
	return rejected(badJoin(unavailableReason))
}

// mergeReply adds the history's keys to the application's reply, which must be
// an object without them. A page may be large and go to many: its messages are
// put in as they are.
func mergeReply(reply any, missed caughtUp) (realtime.Payload, error) {
	own, err := encode(reply)
	if err != nil {
		return realtime.Payload{}, err
	}
	var object map[string]json.RawMessage
	if own.Binary || json.Unmarshal(own.Data, &object) != nil || object == nil {
		return realtime.Payload{}, fmt.Errorf("join reply of a durable topic: want an object or nil, got %T", reply)
	}
	for _, k := range joinKeys {
		if _, taken := object[k]; taken {
			return realtime.Payload{}, fmt.Errorf("join reply of a durable topic: the key %q belongs to the history", k)
		}
	}
	rest, err := encode(missed)
	if err != nil {
		return realtime.Payload{}, err
	}
	out := []byte{'{'}
	if len(object) > 0 {
		own, err = encode(object) // without white space
		if err != nil {
			return realtime.Payload{}, err
		}
		out = append(out, own.Data[1:len(own.Data)-1]...)
		out = append(out, ',')
	}
	out = append(out, `"messages":`...)
	out = append(out, entries(missed.messages)...)
	out = append(out, ',')
	out = append(out, rest.Data[1:]...)
	return realtime.Payload{Data: out}, nil
}
