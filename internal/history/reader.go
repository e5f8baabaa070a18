package history

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// tick is how long readings wait for others to share a statement with.
	tick = 5 * time.Millisecond
	// readers is the number of statements under way at the same time.
	readers = 2
	// maxWaiting bounds the readings that wait; beyond it they fail.
	maxWaiting = 16_384
	// maxReadings bounds the pages, and maxNames the topics, of a statement.
	maxReadings = 32
	maxNames    = 1000
	// pageBytes bounds the payloads of a page.
	pageBytes = 1 << 20
)

// A reader reads what is not in memory, for everybody who waits at the same
// time with as few statements as possible.
type reader struct {
	backend     backend
	topics      *topics
	feeds       *feeds
	timeout     time.Duration
	wake        chan struct{}
	statements  sync.WaitGroup
	mu          sync.Mutex
	waiting     waiting
	closed      bool
	nextDueSoon bool // what waits has waited for its tick already
}

// waiting is what waits for the next statements.
type waiting struct {
	finds  map[string][]func(topicRef, error)
	pages  []*pageRequest
	newest map[newestKey][]*newestRequest
	count  int
}

func newReader(backend backend, topics *topics, timeout time.Duration) *reader {
	return &reader{
		backend: backend, topics: topics, timeout: timeout, wake: make(chan struct{}, 1),
		waiting: waiting{finds: map[string][]func(topicRef, error){}, newest: map[newestKey][]*newestRequest{}},
	}
}

// find asks for a topic's row, for the topic's feed and for done, which is
// called once and must not block; of a topic that does not exist with an id of 0.
func (r *reader) find(topic string, done func(topicRef, error)) {
	if err := r.put(func(w *waiting) { w.finds[topic] = append(w.finds[topic], done) }); err != nil {
		done(topicRef{}, err)
	}
}

// put adds something to what waits.
func (r *reader) put(add func(*waiting)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	if r.waiting.count >= maxWaiting {
		return fmt.Errorf("%w: %d readings are waiting", ErrUnavailable, maxWaiting)
	}
	r.waiting.count++
	add(&r.waiting)
	r.signal()
	return nil
}

func (r *reader) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run serves readings until ctx ends; then those that wait fail.
func (r *reader) run(ctx context.Context) {
	defer r.close()
	slots := make(chan struct{}, readers)
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		}
		if !r.tickIsOver() && !pause(ctx, tick) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case slots <- struct{}{}:
		}
		round := r.take()
		r.statements.Go(func() {
			defer func() { <-slots }()
			r.serve(ctx, round)
		})
	}
}

func (r *reader) tickIsOver() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.nextDueSoon
}

// close waits for the statements under way, and answers everybody else.
func (r *reader) close() {
	r.statements.Wait()
	r.mu.Lock()
	r.closed = true
	w := r.waiting
	r.waiting = waiting{}
	r.mu.Unlock()
	for _, dones := range w.finds {
		for _, done := range dones {
			done(topicRef{}, ErrClosed)
		}
	}
	for _, p := range w.pages {
		p.done(rows{}, nil, ErrClosed)
	}
	for _, requests := range w.newest {
		for _, n := range requests {
			n.done(Page{}, ErrClosed)
		}
	}
}

// A round is what one slot reads at a time.
type round struct {
	finds  map[string][]func(topicRef, error)
	groups []*group
	newest map[newestKey][]*newestRequest
}

// take takes as much as a round may hold.
func (r *reader) take() round {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := &r.waiting
	out := round{finds: w.finds, newest: map[newestKey][]*newestRequest{}}
	if len(w.finds) <= maxNames {
		w.finds = map[string][]func(topicRef, error){}
	} else {
		out.finds = make(map[string][]func(topicRef, error), maxNames)
		for topic, dones := range w.finds {
			if len(out.finds) == maxNames {
				break
			}
			out.finds[topic] = dones
			delete(w.finds, topic)
		}
	}
	out.groups, w.pages = groupPages(w.pages)
	for key, requests := range w.newest {
		if len(out.newest) == maxNewest {
			break
		}
		out.newest[key] = requests
		delete(w.newest, key)
	}
	r.recount()
	return out
}

// recount sees how much is left, which has to wait no longer than for a slot.
func (r *reader) recount() {
	w := &r.waiting
	w.count = len(w.pages)
	for _, dones := range w.finds {
		w.count += len(dones)
	}
	for _, requests := range w.newest {
		w.count += len(requests)
	}
	r.nextDueSoon = w.count > 0
	if r.nextDueSoon {
		r.signal()
	}
}

func (r *reader) serve(ctx context.Context, w round) {
	if len(w.finds) > 0 {
		r.serveFinds(ctx, w.finds)
	}
	r.servePages(ctx, w.groups)
	for key, requests := range w.newest {
		r.serveNewest(ctx, key, requests)
	}
}

func (r *reader) serveFinds(ctx context.Context, finds map[string][]func(topicRef, error)) {
	names := make([]string, 0, len(finds))
	var askings []asking
	for name := range finds {
		names = append(names, name)
		if f := r.feeds.get(name); f != nil {
			askings = append(askings, f.asking())
		}
	}
	var states map[string]topicState
	var generation int64
	err := r.try(ctx, func(ctx context.Context, db database, g int64) (err error) {
		generation = g
		states, err = db.findTopics(ctx, names)
		return err
	})
	if err == nil {
		r.topics.put(states, generation)
		for _, a := range askings {
			a.feed.post(func() { a.feed.found(a, states[a.feed.topic], generation) })
		}
	}
	for name, dones := range finds {
		ref := topicRef{id: states[name].id, epoch: states[name].epoch, generation: generation}
		for _, done := range dones {
			done(ref, err)
		}
	}
}

// try runs a statement that only reads, and once more where a connection was
// broken.
func (r *reader) try(ctx context.Context, f func(context.Context, database, int64) error) error {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	err := r.once(ctx, f)
	if err != nil && isDisconnect(err) && ctx.Err() == nil {
		err = r.once(ctx, f)
	}
	return readError(err)
}

func (r *reader) once(ctx context.Context, f func(context.Context, database, int64) error) error {
	return r.backend.use(ctx, func(db database, generation int64) error { return f(ctx, db, generation) })
}

// readError says which errors pass by themselves.
func readError(err error) error {
	switch {
	case err == nil:
		return nil
	case isDisconnect(err), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// isDisconnect reports whether there is no answer of Postgres to a statement.
func isDisconnect(err error) bool {
	var answer *pgconn.PgError
	return !errors.As(err, &answer) || isFatal(answer)
}

// isFatal reports whether the error ended the session. Then it does not tell
// what became of the statement.
func isFatal(e *pgconn.PgError) bool {
	return e.SeverityUnlocalized != "ERROR"
}
