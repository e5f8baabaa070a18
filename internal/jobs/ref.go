package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// lookAgain is how old a Ref's knowledge of where the client is may be.
const lookAgain = time.Second

type refKey struct{}

// RefOf returns the reply ref of the job whose worker got ctx, nil when no push
// waits for it.
func RefOf(ctx context.Context) *Ref {
	ref, _ := ctx.Value(refKey{}).(*Ref)
	return ref
}

// Ref is how a worker reaches the client that waits for its job.
type Ref struct {
	jobs *Jobs
	id   int64

	mu     sync.Mutex
	given  *outcome
	topic  string
	key    string
	node   string
	looked time.Time
}

// Reply sets the answer, which is sent when the worker returns without an
// error, or cancels its job.
func (r *Ref) Reply(status string, response json.RawMessage) error {
	if len(response) > MaxResponseBytes {
		return fmt.Errorf("%w: %d", ErrTooLarge, len(response))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.given = &outcome{status, response}
	return nil
}

// Push sends an event to the client, at most once: not to one that is away.
func (r *Ref) Push(ctx context.Context, event string, payload json.RawMessage) error {
	node, topic, _, err := r.where(ctx)
	if err != nil {
		return err
	}
	r.jobs.tell(node, topic, message{ID: r.id, Event: event, Data: payload})
	return nil
}

// Request tells which request the job is for.
func (r *Ref) Request(ctx context.Context) (topic, key string, err error) {
	_, topic, key, err = r.where(ctx)
	return topic, key, err
}

func (r *Ref) where(ctx context.Context) (node, topic, key string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.looked) > lookAgain {
		rows, err := r.jobs.queries.WhereToAnswer(ctx, r.jobs.schema.In(r.jobs.config.Pool), r.id)
		if err != nil {
			return "", "", "", fmt.Errorf("looking for who waits for the job: %w", err)
		}
		if len(rows) > 0 {
			r.topic, r.key, r.node = rows[0].Topic, rows[0].Key, rows[0].Node
		}
		r.looked = time.Now()
	}
	return r.node, r.topic, r.key, nil
}
