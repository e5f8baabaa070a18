package history

import (
	"context"
	"math"
)

// After returns the messages with ids above after, at most limit (1 to 1,000)
// and 1 MiB of payloads, but at least one where there is one. It may be ahead of
// the delivery, and never is behind it. Where Page.Oldest is above after+1,
// messages between are deleted. Of a topic without messages Page.Oldest is 1.
//
// Page.Oldest may be older than the truth if it is not above after+1.
func (h *History) After(ctx context.Context, topic string, after int64, limit int) (Page, error) {
	after, limit = max(after, 0), min(max(limit, 1), maxPageSize)
	return h.read(ctx, topic,
		func(f *feed) (Page, bool) { return f.page(after, limit, pageBytes) },
		func(ctx context.Context, pattern *Pattern, ref topicRef) (Page, error) {
			return h.reader.page(ctx, topic, pattern, ref, after, limit)
		})
}

// Before returns the newest messages with ids below before, ascending, within
// the limits of [History.After].
func (h *History) Before(ctx context.Context, topic string, before int64, limit int) (Page, error) {
	limit = min(max(limit, 1), maxPageSize)
	return h.read(ctx, topic,
		func(*feed) (Page, bool) { return Page{}, false },
		func(ctx context.Context, pattern *Pattern, ref topicRef) (Page, error) {
			return h.reader.before(ctx, topic, pattern, ref, before, limit)
		})
}

// Newest returns the n newest messages, ascending, within the limits of
// [History.After]; with n = 0 none, but the topic's state.
func (h *History) Newest(ctx context.Context, topic string, n int) (Page, error) {
	limit := min(max(n, 1), maxPageSize)
	page, err := h.read(ctx, topic,
		func(f *feed) (Page, bool) { return f.newest(limit, pageBytes) },
		func(ctx context.Context, pattern *Pattern, ref topicRef) (Page, error) {
			return h.reader.before(ctx, topic, pattern, ref, math.MaxInt64, limit)
		})
	if n <= 0 {
		page.More, page.Messages = page.Head >= page.Oldest, nil
	}
	return page, err
}

// read reads from memory, or else from the database.
func (h *History) read(ctx context.Context, topic string, fromMemory func(*feed) (Page, bool),
	fromDatabase func(context.Context, *Pattern, topicRef) (Page, error),
) (Page, error) {
	pattern, err := h.pattern(topic)
	if err != nil {
		return Page{}, err
	}
	if f := h.feeds.get(topic); f != nil {
		if page, ok := fromMemory(f); ok {
			h.metrics.fromRing.Inc()
			return page, nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, h.config.ReadTimeout)
	defer cancel()
	ref, err := h.ref(ctx, topic)
	if err != nil {
		return Page{}, err
	}
	if ref.id == 0 {
		return Page{Oldest: 1, Epoch: ref.epochString()}, nil
	}
	return fromDatabase(ctx, pattern, ref)
}

// ref returns the stream that a topic's name stands for, of id 0 when there is
// none.
func (h *History) ref(ctx context.Context, topic string) (topicRef, error) {
	if ref, ok := h.topics.get(topic, h.generations.newest.Load()); ok {
		return ref, nil
	}
	type found struct {
		ref topicRef
		err error
	}
	answered := make(chan found, 1)
	h.reader.find(topic, func(ref topicRef, err error) { answered <- found{ref, err} })
	select {
	case <-ctx.Done():
		return topicRef{}, readError(ctx.Err())
	case a := <-answered:
		return a.ref, a.err
	}
}

// Seen notes that a user has read a topic up to an id, and returns how many
// messages are unread, edits and deleted ones not counted; at most 1,000.
func (h *History) Seen(ctx context.Context, topic, user string, id int64) (unread int64, err error) {
	if _, err := h.pattern(topic); err != nil {
		return 0, err
	}
	if err := checkText(ErrUser, user, 1, maxUser); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, h.config.ReadTimeout)
	defer cancel()
	ref, err := h.ref(ctx, topic)
	if err != nil || ref.id == 0 {
		return 0, err
	}
	err = h.use(ctx, func(ctx context.Context, db database) (err error) {
		unread, err = db.seen(ctx, ref.id, user, id)
		return err
	})
	return unread, err
}

// Unread counts a user's unread messages of each topic as [History.Seen] does,
// with one statement.
func (h *History) Unread(ctx context.Context, user string, topics []string) (unread map[string]int64, err error) {
	err = h.use(ctx, func(ctx context.Context, db database) (err error) {
		unread, err = db.unread(ctx, user, topics)
		return err
	})
	return unread, err
}
