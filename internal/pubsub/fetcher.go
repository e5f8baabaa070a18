package pubsub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/trunkline/trunkline/internal/dbsqlc"
)

const (
	// A fetch is tried again after a lost connection, each try within
	// fetchAttempt. Even a reference that waited past its time limit for its
	// turn gets fetchAtLeast.
	fetchAttempt = 2 * time.Second
	fetchRetry   = 100 * time.Millisecond
	fetchAtLeast = 250 * time.Millisecond

	// sweepEvery is how often a node deletes spilled messages older than
	// spillAge, its own and those that ended nodes left behind, up to
	// sweepAtMost rows a statement.
	sweepEvery   = time.Minute
	spillAge     = time.Minute
	sweepAtMost  = 200
	sweepTimeout = 10 * time.Second
)

// A fetcher reads spilled messages, over a connection that it opens when it is
// first needed, and deletes old ones. All but sweep is for the dispatcher's
// goroutine.
type fetcher struct {
	connector *connector
	schema    *dbsqlc.Schema
	queries   *dbsqlc.Queries
	timeout   time.Duration
	log       *slog.Logger

	conn    *connection    // nil until needed
	closing sync.WaitGroup // a broken connection is closed beside its successor
}

// fetch returns the spilled message whose reference arrived at that time. The
// time limit starts there, so that a row of references does not add up theirs.
func (f *fetcher) fetch(ctx context.Context, id [spillIDLen]byte, arrived time.Time) (topic string, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, max(time.Until(arrived.Add(f.timeout)), fetchAtLeast))
	defer cancel()
	for {
		reused := f.conn != nil
		row, err := f.attempt(ctx, id)
		if err == nil {
			return decodeSpilled(row)
		}
		if errors.Is(err, pgx.ErrNoRows) {
			return "", nil, fmt.Errorf("spilled message: %w", err)
		}
		if f.conn != nil {
			f.closing.Go(f.conn.close)
			f.conn = nil
		}
		if reused && ctx.Err() == nil { // it may have gone stale
			continue
		}
		select {
		case <-time.After(fetchRetry):
		case <-ctx.Done():
			return "", nil, fmt.Errorf("spilled message: %w", err)
		}
	}
}

func (f *fetcher) attempt(ctx context.Context, id [spillIDLen]byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchAttempt)
	defer cancel()
	if f.conn == nil {
		conn, err := f.connector.connect(ctx, "fetcher")
		if err != nil {
			return nil, err
		}
		f.conn = conn
	}
	return f.queries.GetSpill(ctx, f.schema.In(f.conn), pgtype.UUID{Bytes: id, Valid: true})
}

// sweep deletes old rows now and then until ctx ends. The first time is random,
// so that nodes started together do not sweep together.
func (f *fetcher) sweep(ctx context.Context) {
	timer := time.NewTimer(rand.N(sweepEvery))
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		if err := f.expire(ctx, spillAge); err != nil && ctx.Err() == nil {
			f.log.WarnContext(ctx, "bus: old large messages could not be deleted", "error", err)
		}
		timer.Reset(sweepEvery)
	}
}

// expire deletes the rows older than age, over a connection of its own.
func (f *fetcher) expire(ctx context.Context, age time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	conn, err := f.connector.connect(ctx, "sweeper")
	if err != nil {
		return err
	}
	defer conn.close()
	for {
		deleted, err := f.queries.ExpireSpill(ctx, f.schema.In(conn), dbsqlc.ExpireSpillParams{
			OlderThanSeconds: age.Seconds(), AtMost: sweepAtMost,
		})
		if err != nil || deleted < sweepAtMost {
			return err
		}
	}
}

// close closes the connection, once nobody fetches any more.
func (f *fetcher) close() {
	if f.conn != nil {
		f.conn.close()
	}
	f.closing.Wait()
}
