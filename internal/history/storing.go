package history

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Publish stores a message and returns its id once it is committed. The payload
// is a JSON object without the key of the id; it must not be changed afterwards.
// Where key is not empty and was used in the topic within Config.KeyAge, nothing
// is published, and the id is the first one's.
//
// Nothing was published when it fails, unless with [ErrUnknownOutcome].
// [ErrQueueFull] and [ErrUnavailable] say that trying again later may succeed.
// The messages that one goroutine publishes to a topic keep their order.
func (h *History) Publish(ctx context.Context, topic, event string, payload []byte, key string) (id int64, err error) {
	pattern, err := h.pattern(topic)
	if err != nil {
		return 0, err
	}
	if err := checkPublish(pattern.IDKey, topic, event, payload, key); err != nil {
		return 0, err
	}
	p := h.batcher.queue.pending()
	p.topic, p.event, p.payload, p.key = topic, event, payload, key
	return h.store(ctx, p)
}

// Update replaces a message's payload, and returns the id of the event that
// says so. It fails as [History.Publish] does, and with [ErrNotFound].
func (h *History) Update(ctx context.Context, topic string, id int64, payload []byte) (eventID int64, err error) {
	pattern, err := h.pattern(topic)
	if err != nil {
		return 0, err
	}
	if err := checkPayload(pattern.IDKey, payload); err != nil {
		return 0, err
	}
	return h.edit(ctx, topic, EventUpdated, id, payload)
}

// Delete takes a message's payload away, and returns the id of the event that
// says so. It fails as [History.Update] does.
func (h *History) Delete(ctx context.Context, topic string, id int64) (eventID int64, err error) {
	if _, err := h.pattern(topic); err != nil {
		return 0, err
	}
	return h.edit(ctx, topic, EventDeleted, id, []byte("{}"))
}

func (h *History) edit(ctx context.Context, topic, event string, id int64, payload []byte) (int64, error) {
	if id < 1 {
		return 0, fmt.Errorf("%w: %d in %q", ErrNotFound, id, topic)
	}
	if err := checkText(ErrTopic, topic, 1, maxTopic); err != nil {
		return 0, err
	}
	p := h.batcher.queue.pending()
	p.topic, p.event, p.payload, p.refersTo = topic, event, payload, id
	return h.store(ctx, p)
}

// store queues a message and waits for its id.
func (h *History) store(ctx context.Context, p *pending) (int64, error) {
	queue := h.batcher.queue
	if err := queue.put(p); err != nil {
		return 0, err
	}
	select {
	case a := <-p.answered:
		if a.err == nil {
			queue.recycle(p)
		}
		return a.id, a.err
	case <-ctx.Done():
	}
	if queue.giveUp(p) {
		return 0, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
	select {
	case a := <-p.answered:
		return a.id, a.err
	default:
		return 0, fmt.Errorf("%w: %w", ErrUnknownOutcome, ctx.Err())
	}
}

// PublishTx publishes a message when the transaction commits, as the SQL
// function publish does. It fails as [History.Publish] does; then the
// transaction may have failed with it.
func (h *History) PublishTx(ctx context.Context, tx pgx.Tx, topic, event string, payload []byte, key string) error {
	pattern, err := h.pattern(topic)
	if err != nil {
		return err
	}
	if err := checkPublish(pattern.IDKey, topic, event, payload, key); err != nil {
		return err
	}
	return newStore(h.schema, tx, h.metrics.query).publish(ctx, topic, event, payload, key)
}
