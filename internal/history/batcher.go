package history

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	batchMessages = 1000
	batchBytes    = 1 << 20
	// maxFails bounds how often a message is tried when its topic or partition
	// is another one than before.
	maxFails = 5
	// Above lingerRate batches a second, a batch waits for lingerMessages or
	// lingerTime: small batches would take the machine for the same latency.
	lingerRate     = 300
	lingerMessages = 16
	lingerTime     = 2 * time.Millisecond
	// Waits after a batch that could not be stored.
	batchPause    = 20 * time.Millisecond
	batchPauseMax = time.Second
)

// A batcher stores what is published through this node: one batch at a time,
// with all that came while the one before was stored.
type batcher struct {
	backend backend
	queue   *queue
	topics  *topics
	timeout time.Duration // of a statement
	metrics *metrics
	log     *slog.Logger
	rate    rate

	stored chan outcome // what run has to tell of
	// numbered gets what was stored of a topic, ascending.
	numbered func(topic string, topicID int64, rows []row)
	// unsure is called when messages may have been stored, or not.
	unsure func()
}

// An outcome is what was decided of a batch. Nobody else knows its messages any
// more but their callers.
type outcome struct {
	batch      []*pending // by topic
	verdicts   []verdict
	insertedAt time.Time
}

// run stores batches until ctx ends. It waits for the one under way, and
// answers those who wait.
func (b *batcher) run(ctx context.Context) {
	// Telling of a batch goes on while the next one is stored.
	b.stored = make(chan outcome, 1)
	var teller sync.WaitGroup
	teller.Go(func() {
		for o := range b.stored {
			b.announce(o)
			b.answer(o)
		}
	})
	defer func() {
		close(b.stored)
		teller.Wait()
		for _, p := range b.queue.close() {
			p.answer(0, ErrClosed)
		}
	}()
	wait := batchPause
	for {
		if b.queue.empty() {
			select {
			case <-ctx.Done():
				return
			case <-b.queue.wake:
				continue
			}
		}
		b.linger(ctx)
		if ctx.Err() != nil {
			return
		}
		if b.storeNext(ctx) {
			wait = batchPause
			continue
		}
		if !pause(ctx, wait) {
			return
		}
		wait = min(2*wait, batchPauseMax)
	}
}

// linger lets a batch gather when there are very many.
func (b *batcher) linger(ctx context.Context) {
	if b.rate.now() < lingerRate {
		return
	}
	timer := time.NewTimer(lingerTime)
	defer timer.Stop()
	for {
		if n, _ := b.queue.load(); n >= lingerMessages {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case <-b.queue.wake:
		}
	}
}

// storeNext stores a batch; false if the database should be left alone for a
// while. The batch is taken when there is a connection, so that callers may
// give up before.
func (b *batcher) storeNext(ctx context.Context) (ok bool) {
	connecting, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	err := b.backend.use(connecting, func(db database, generation int64) error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.timeout)
		defer cancel()
		batch, wait := b.queue.take(batchMessages, batchBytes)
		return b.store(ctx, db, generation, batch, wait)
	})
	if err != nil && ctx.Err() == nil {
		b.log.WarnContext(ctx, "history: a batch of messages could not be stored", "err", err)
	}
	return err == nil
}

// store stores a batch and answers those who wait, or puts it back. It fails if
// the database should be left alone for a while.
func (b *batcher) store(ctx context.Context, db database, generation int64, batch []*pending, wait bool) error {
	if err := b.topicIDs(ctx, db, generation, batch); err != nil {
		b.queue.carry(batch, false)
		return err
	}
	batch = b.queue.seal(batch)
	if len(batch) == 0 {
		return nil
	}
	// By topic, which makes all that follows cheaper.
	slices.SortStableFunc(batch, func(p, q *pending) int { return cmp.Compare(p.topicID, q.topicID) })
	entries := make([]entry, len(batch))
	for i, p := range batch {
		entries[i] = entry{topicID: p.topicID, event: p.event, payload: p.payload, key: p.key, refersTo: p.refersTo}
	}
	started := time.Now()
	verdicts, insertedAt, err := db.append(ctx, entries, wait)
	b.metrics.batch(len(batch), time.Since(started))
	b.rate.count(time.Now())
	if err != nil {
		return b.failed(ctx, db, generation, batch, err)
	}
	if batch, verdicts = b.carry(batch, verdicts); len(batch) > 0 {
		b.stored <- outcome{batch, verdicts, insertedAt}
	}
	return nil
}

// topicIDs finds the ids of a batch's topics, which it creates if need be.
func (b *batcher) topicIDs(ctx context.Context, db database, generation int64, batch []*pending) error {
	unknown := map[string]bool{}
	var before *pending
	for _, p := range batch {
		if before != nil && before.topic == p.topic {
			p.topicID = before.topicID
		} else if ref, known := b.topics.get(p.topic, generation); known {
			p.topicID = ref.id
		} else {
			p.topicID = 0
			unknown[p.topic] = true
		}
		before = p
	}
	if len(unknown) == 0 {
		return nil
	}
	states, err := db.ensureTopics(ctx, slices.Collect(maps.Keys(unknown)))
	if err != nil {
		return err
	}
	b.topics.put(states, generation)
	for _, p := range batch {
		if unknown[p.topic] {
			p.topicID = states[p.topic].id
		}
	}
	return nil
}

// carry puts back what has to be tried again, before anything else of its
// topics, and returns the others.
func (b *batcher) carry(batch []*pending, verdicts []verdict) (decided []*pending, _ []verdict) {
	var busy, gone []*pending
	n := 0
	for i, v := range verdicts {
		p := batch[i]
		switch v.status {
		default:
			batch[n], verdicts[n] = p, v
			n++
		case statusBusy:
			busy = append(busy, p)
		case statusNoTopic:
			b.topics.forget(p.topic)
			if p.fails++; p.fails < maxFails {
				gone = append(gone, p)
			} else {
				b.finish(p, 0, fmt.Errorf("%w: topic %q cannot be found", ErrUnavailable, p.topic), "failed")
			}
		}
	}
	if len(busy) > 0 {
		b.queue.carry(busy, true)
	}
	if len(gone) > 0 {
		b.queue.carry(gone, false)
	}
	return batch[:n], verdicts[:n]
}

// announce tells of what was stored, topic by topic.
func (b *batcher) announce(o outcome) {
	rows := make([]row, 0, len(o.batch))
	for i, p := range o.batch {
		if v := o.verdicts[i]; v.status == statusStored {
			rows = append(rows, row{id: v.id, event: p.event, payload: p.payload, refersTo: p.refersTo, insertedAt: o.insertedAt})
		}
		if i+1 < len(o.batch) && o.batch[i+1].topicID == p.topicID {
			continue
		}
		if len(rows) > 0 {
			b.numbered(p.topic, p.topicID, slices.Clip(rows))
		}
		rows = rows[len(rows):]
	}
}

// answer tells the callers what became of their messages.
func (b *batcher) answer(o outcome) {
	stored := b.queue.settle(o.batch, o.verdicts)
	for i, v := range o.verdicts {
		p := o.batch[i]
		switch v.status {
		case statusStored:
			p.answer(v.id, nil)
		case statusDuplicate:
			b.finish(p, v.id, nil, "duplicate")
		case statusNotFound:
			b.finish(p, 0, fmt.Errorf("%w: %d in %q", ErrNotFound, p.refersTo, p.topic), "not_found")
		default:
			b.finish(p, 0, fmt.Errorf("history: append answered status %d", v.status), "failed")
		}
	}
	b.metrics.published.WithLabelValues("stored").Add(float64(stored))
}

func (b *batcher) finish(p *pending, id int64, err error, result string) {
	b.metrics.published.WithLabelValues(result).Inc()
	b.queue.withdraw(p)
	p.answer(id, err)
}

// failed handles a statement that did not tell what became of the batch, or was
// refused.
func (b *batcher) failed(ctx context.Context, db database, generation int64, batch []*pending, err error) error {
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused) && !isFatal(refused):
		return b.refused(ctx, db, generation, batch, refused.Code, err)
	case pgconn.SafeToRetry(err):
		b.queue.carry(batch, false)
		return err
	}
	// Those with a key are safe to be stored again; the others are not.
	b.unsure()
	var again []*pending
	for _, p := range batch {
		if p.key != "" {
			again = append(again, p)
			continue
		}
		b.finish(p, 0, fmt.Errorf("%w: %w", ErrUnknownOutcome, err), "unknown")
	}
	b.queue.doubt(again)
	b.queue.carry(again, false)
	return err
}

// refused handles an error of Postgres, with which nothing was stored.
func (b *batcher) refused(ctx context.Context, db database, generation int64, batch []*pending, code string, err error) error {
	switch class := code[:min(2, len(code))]; {
	case code == "40001", code == "40P01": // serialization failure, deadlock
		b.queue.carry(batch, false)
		return nil
	case code == "23514" && failAgain(batch): // a partition was attached meanwhile
		b.queue.carry(batch, false)
		return nil
	case class != "22" && class != "23" && class != "54": // not the messages' fault
		b.queue.carry(batch, false)
		return err
	case len(batch) == 1:
		b.finish(batch[0], 0, fmt.Errorf("history: Postgres refuses the message: %w", err), "failed")
		return nil
	}
	// One of them is to blame: find out which.
	for i, p := range batch {
		if err := b.store(ctx, db, generation, []*pending{p}, false); err != nil {
			b.queue.carry(batch[i+1:], false)
			return err
		}
	}
	return nil
}

// failAgain counts a failure of the batch, and tells whether it may have another.
func failAgain(batch []*pending) bool {
	again := true
	for _, p := range batch {
		p.fails++
		again = again && p.fails < maxFails
	}
	return again
}

// rate counts what happened in the last second, roughly.
type rate struct {
	second         int64
	count0, count1 int // in the current second and the one before
}

func (r *rate) count(at time.Time) {
	r.advance(at)
	r.count0++
}

func (r *rate) now() int {
	r.advance(time.Now())
	return max(r.count0, r.count1)
}

func (r *rate) advance(at time.Time) {
	switch second := at.Unix(); second - r.second {
	case 0:
	case 1:
		r.second, r.count0, r.count1 = second, 0, r.count0
	default:
		r.second, r.count0, r.count1 = second, 0, 0
	}
}
