package history

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trunkline/trunkline/internal/dbsqlc"
)

const (
	drainLimit   = 2000
	drainTimeout = 10 * time.Second

	// While there is something to do, the outbox is looked at that often; after
	// idleBefore without anything, publishers have to ring.
	pollAwake  = 5 * time.Millisecond
	idleBefore = 300 * time.Millisecond
	// pollAsleep finds what was published by those who read an old lease.
	pollAsleep = 250 * time.Millisecond

	leaseLength = 3 * time.Second
	leaseRenew  = time.Second
	floorEvery  = time.Second

	candidacyEvery = 500 * time.Millisecond
	minRetry       = 100 * time.Millisecond
	maxRetry       = 2 * time.Second
)

// A relay moves what SQL transactions published from the outbox into the
// streams. Of all relays of an installation one is the leader and works; the
// others wait to take over. Leadership is a lock of the very connection that
// drains, so who loses the one has lost the other.
type relay struct {
	url    string // direct
	schema *dbsqlc.Schema
	log    *slog.Logger
	count  func(kind string) // counts statements; may be nil

	// deliver gets what one drain moved, in order, after its commit. It is
	// called on the relay's goroutine and must not block for long.
	deliver func([]drained)
	// missed is called when messages may have been stored that deliver was not
	// told of: the connection broke during a drain, or another relay's
	// leadership ended. The topics' heads tell which.
	missed func()
	// found is told the generation of the database that is drained from now on
	// (see store.generation), before deliver is told anything of it. It may be nil.
	found func(generation int64)
}

// run works until ctx ends, and returns when nothing of it is left. What goes
// wrong with Postgres is logged and tried again.
func (r *relay) run(ctx context.Context) {
	retry := minRetry
	for ctx.Err() == nil {
		began := time.Now()
		err := r.session(ctx)
		if ctx.Err() != nil {
			return
		}
		r.log.WarnContext(ctx, "history: the relay lost its connection", "err", err)
		if time.Since(began) > maxRetry {
			retry = minRetry
		}
		pause(ctx, retry/2+rand.N(retry))
		retry = min(2*retry, maxRetry)
	}
}

// session is the life of one connection.
func (r *relay) session(ctx context.Context) error {
	conn, err := r.connect(ctx)
	if err != nil {
		return err
	}
	defer closeDirect(conn.Conn)
	db := newStore(r.schema, conn, r.count)
	for {
		leads, err := r.tryLead(ctx, db)
		if err != nil {
			return err
		}
		if leads {
			break
		}
		if !pause(ctx, candidacyEvery/2+rand.N(candidacyEvery)) {
			return ctx.Err()
		}
	}
	if err := r.identify(ctx, db); err != nil {
		return err
	}
	r.log.InfoContext(ctx, "history: this node relays what SQL publishes")
	r.missed() // whoever led before may not have told all
	return r.lead(ctx, conn, db)
}

func (r *relay) identify(ctx context.Context, db *store) error {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	generation, err := db.generation(ctx)
	if err == nil && r.found != nil {
		r.found(generation)
	}
	return err
}

func (r *relay) tryLead(ctx context.Context, db *store) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	db.count("lead")
	leads, err := db.queries.TryLead(ctx, db.db)
	if err != nil {
		return false, fmt.Errorf("trying to become the leader: %w", err)
	}
	return leads, nil
}

// lead drains until the connection fails or ctx ends.
func (r *relay) lead(ctx context.Context, conn *relayConn, db *store) error {
	var leased, marked time.Time // when that was done last
	var floor floor
	busy := time.Now() // when there was something to do
	for ctx.Err() == nil {
		if time.Since(marked) >= floorEvery {
			marked = time.Now()
			if err := r.lookForFloor(ctx, db, &floor); err != nil {
				return err
			}
		}
		full, moved, err := r.drain(ctx, db, &floor)
		switch {
		case err != nil:
			return err
		case moved:
			busy = time.Now()
		}
		awake := time.Since(busy) <= idleBefore
		switch {
		case awake && time.Since(leased) >= leaseRenew:
			if err := r.extend(ctx, db, leaseLength); err != nil {
				return err
			}
			leased = time.Now()
		case !awake && !leased.IsZero():
			if err := r.extend(ctx, db, 0); err != nil {
				return err
			}
			leased = time.Time{}
			continue // with what was published before that was known
		}
		switch {
		case full:
		case awake:
			pause(ctx, pollAwake)
		default:
			rung, err := conn.waitForDoorbell(ctx, pollAsleep)
			if err != nil {
				return err
			}
			if rung {
				busy = time.Now()
			}
		}
	}
	return ctx.Err()
}

// drain tells whether there may be more, and whether it moved anything. Its
// statement is not cancelled when ctx ends: what it stored is to be told.
func (r *relay) drain(ctx context.Context, db *store, floor *floor) (full, moved bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	rows, err := db.drain(ctx, floor.id, drainLimit)
	if err != nil {
		r.missed()
		return false, false, err
	}
	size, newest := 0, int64(0)
	for _, row := range rows {
		size += len(row.payload)
		newest = row.outboxID
	}
	full = len(rows) == drainLimit || size >= drainBytes
	floor.drained(newest, !full)
	if len(rows) > 0 {
		r.deliver(rows)
	}
	return full, len(rows) > 0, nil
}

// extend tells publishers for how long they need not ring.
func (r *relay) extend(ctx context.Context, db *store, lease time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	db.count("lease")
	if err := db.queries.StayAwake(ctx, db.db, lease.Seconds()); err != nil {
		return fmt.Errorf("extending the relay's lease: %w", err)
	}
	return nil
}

func (r *relay) lookForFloor(ctx context.Context, db *store, floor *floor) error {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	db.count("floor")
	transactions, err := db.queries.Transactions(ctx, db.db)
	if err != nil {
		return fmt.Errorf("reading the running transactions: %w", err)
	}
	floor.observed(transactions.Oldest, transactions.Next)
	return nil
}

// relayConn is the connection that drains, and hears the doorbell.
type relayConn struct {
	*pgx.Conn
	rung bool
}

func (r *relay) connect(ctx context.Context) (*relayConn, error) {
	conn := &relayConn{}
	var err error
	conn.Conn, err = connectDirect(ctx, r.url, r.schema.Name()+" relay", func() { conn.rung = true })
	if err != nil {
		return nil, fmt.Errorf("connecting the relay: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	if _, err := conn.Exec(ctx, "listen "+pgx.Identifier{r.schema.Name() + "_outbox"}.Sanitize()); err != nil {
		closeDirect(conn.Conn)
		return nil, fmt.Errorf("listening to the doorbell: %w", err)
	}
	return conn, nil
}

// waitForDoorbell waits until somebody rang since it was last asked.
func (c *relayConn) waitForDoorbell(ctx context.Context, most time.Duration) (bool, error) {
	if !c.rung {
		waiting, cancel := context.WithTimeout(ctx, most)
		defer cancel()
		if err := c.PgConn().WaitForNotification(waiting); err != nil && waiting.Err() == nil {
			return false, fmt.Errorf("waiting for the doorbell: %w", err)
		}
	}
	rung := c.rung
	c.rung = false
	return rung, nil
}

// pause waits, and reports whether ctx still holds.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
