//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trunkline/trunkline/bench/stats"
)

// messagesPerPayload is how many messages of payloadSize fit in a notification.
const messagesPerPayload = 55

// A bareBus is a plain notifier and plain listeners: what the bus is compared
// with.
type bareBus struct {
	notifier  *pgx.Conn
	listeners int
	sent      [1 << 10]atomic.Int64 // by number
	got       atomic.Int64
	end       func() error

	mu    sync.Mutex
	times *stats.Histogram // of single notifications
}

// startBareBus uses a database where nobody else listens: each listener of a
// database is woken by every notification in it.
func startBareBus(ctx context.Context, url string, listeners int) (*bareBus, error) {
	ctx, cancel := context.WithCancel(ctx)
	b := &bareBus{listeners: listeners, times: new(stats.Histogram)}
	var listening sync.WaitGroup
	var conns []*pgx.Conn
	b.end = func() error {
		cancel()
		listening.Wait()
		var errs []error
		for _, c := range conns {
			errs = append(errs, c.Close(context.WithoutCancel(ctx)))
		}
		return errors.Join(errs...)
	}
	for i := range listeners + 1 {
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return nil, errors.Join(err, b.end())
		}
		conns = append(conns, conn)
		if b.notifier = conn; i == listeners {
			break
		}
		if _, err := conn.Exec(ctx, "listen bare"); err != nil {
			return nil, errors.Join(err, b.end())
		}
		listening.Go(func() {
			for {
				n, err := conn.WaitForNotification(ctx)
				if err != nil {
					return // ended; what is missing is noticed
				}
				b.arrived(n.Payload)
			}
		})
	}
	return b, nil
}

func (b *bareBus) arrived(payload string) {
	now := time.Now().UnixNano()
	number, _, single := strings.Cut(payload, " ")
	if n, err := strconv.Atoi(number); single && err == nil {
		b.mu.Lock()
		b.times.Add(time.Duration(now - b.sent[n%len(b.sent)].Load()))
		b.mu.Unlock()
	}
	b.got.Add(1)
}

// reset forgets what was measured.
func (b *bareBus) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.times = new(stats.Histogram)
}

// await waits for so many notifications in all.
func (b *bareBus) await(want int64) error {
	for end := time.Now().Add(20 * time.Second); b.got.Load() < want; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("%d of %d bare notifications came", b.got.Load(), want)
		}
	}
	return nil
}

// latency sends single notifications at fixed times.
func (b *bareBus) latency(ctx context.Context, count int, every time.Duration) error {
	b.got.Store(0)
	began := time.Now()
	for n := range count {
		time.Sleep(time.Until(began.Add(time.Duration(n) * every)))
		b.sent[n%len(b.sent)].Store(time.Now().UnixNano())
		if _, err := b.notifier.Exec(ctx, "select pg_notify('bare', $1)", strconv.Itoa(n)+" "+strings.Repeat("x", payloadSize)); err != nil {
			return err
		}
	}
	return b.await(int64(count * b.listeners))
}

// packed sends full payloads, one a transaction, and returns how many messages
// they could have held.
func (b *bareBus) packed(ctx context.Context, span time.Duration) (messages int, err error) {
	b.got.Store(0)
	payload := strings.Repeat("x", 7990)
	count := 0
	for began := time.Now(); time.Since(began) < span; count++ {
		if _, err := b.notifier.Exec(ctx, "select pg_notify('bare', $1)", payload); err != nil {
			return 0, err
		}
	}
	return count * messagesPerPayload, b.await(int64(count * b.listeners))
}

// A bareTable stores rows as plainly as that can be done: in a table of the
// messages' shape, without numbers of topics.
type bareTable struct {
	conn *pgx.Conn
	next int64
}

const bareInsert = `insert into bare (topic_id, id, inserted_at, event, payload)
	select m.topic_id, m.id, now(), 'm', m.payload
	from unnest($1::bigint[], $2::bigint[], $3::text[]) as m(topic_id, id, payload)`

// batchLimit is the most rows of a statement, as in the server.
const batchLimit = 1000

func makeBareTable(ctx context.Context, url string) (*bareTable, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	for _, statement := range []string{
		`create table bare (like trunkline.messages including all) partition by range (inserted_at)`,
		`create table bare_now partition of bare default`,
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return nil, errors.Join(err, conn.Close(ctx))
		}
	}
	return &bareTable{conn: conn}, nil
}

// store inserts so many rows in one statement.
func (t *bareTable) store(ctx context.Context, rows int) error {
	topics, ids, payloads := make([]int64, rows), make([]int64, rows), make([]string, rows)
	payload := `{"body":"` + strings.Repeat("x", payloadSize-11) + `"}`
	for i := range rows {
		t.next++
		topics[i], ids[i], payloads[i] = 1, t.next, payload
	}
	_, err := t.conn.Exec(ctx, bareInsert, topics, ids, payloads)
	return err
}

// publish lets callers wait for their rows, each for one at a time, which one
// goroutine inserts: all that wait, in one statement.
func (t *bareTable) publish(ctx context.Context, callers int, span time.Duration) (stored uint64, err error) {
	queue := make(chan chan struct{}, callers)
	var count atomic.Uint64
	var working sync.WaitGroup
	began := time.Now()
	for range callers {
		working.Go(func() {
			done := make(chan struct{}, 1)
			for time.Since(began) < span {
				queue <- done
				<-done
				count.Add(1)
			}
		})
	}
	go func() { working.Wait(); close(queue) }()
	for first := range queue {
		batch := []chan struct{}{first}
		for len(batch) < batchLimit && len(queue) > 0 {
			batch = append(batch, <-queue)
		}
		if err == nil {
			err = t.store(ctx, len(batch))
		}
		for _, done := range batch {
			done <- struct{}{}
		}
	}
	return count.Load(), err
}

// latency stores single rows at fixed times.
func (t *bareTable) latency(ctx context.Context, times *stats.Histogram, count int, every time.Duration) error {
	began := time.Now()
	for n := range count {
		time.Sleep(time.Until(began.Add(time.Duration(n) * every)))
		at := time.Now()
		if err := t.store(ctx, 1); err != nil {
			return err
		}
		times.Add(time.Since(at))
	}
	return nil
}
