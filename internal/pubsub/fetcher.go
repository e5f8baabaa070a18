package pubsub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

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

// A fetcher reads and deletes spilled messages. Its connections are opened when
// needed and closed when idle.
type fetcher struct {
	pool    *pgxpool.Pool
	schema  *dbsqlc.Schema
	queries *dbsqlc.Queries
	timeout time.Duration
	log     *slog.Logger
}

func newFetcher(c *connector, schema *dbsqlc.Schema, timeout time.Duration, log *slog.Logger) (*fetcher, error) {
	config, err := pgxpool.ParseConfig(c.config.ConnString())
	if err != nil {
		return nil, fmt.Errorf("direct database URL: %w", err)
	}
	config.ConnConfig = c.config.Copy()
	config.ConnConfig.DialFunc = newDialer().DialContext
	config.MaxConns = 2 // one to fetch, one to sweep
	config.MinConns = 0
	config.MaxConnIdleTime = 15 * time.Second
	config.HealthCheckPeriod = 15 * time.Second
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, fmt.Errorf("pool for large messages: %w", err)
	}
	return &fetcher{pool: pool, schema: schema, queries: dbsqlc.New(), timeout: timeout, log: log}, nil
}

// fetch returns the spilled message whose reference arrived at that time. The
// time limit starts there, so that a row of references does not add up theirs.
func (f *fetcher) fetch(ctx context.Context, id [spillIDLen]byte, arrived time.Time) (topic string, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, max(time.Until(arrived.Add(f.timeout)), fetchAtLeast))
	defer cancel()
	for {
		var row []byte
		if row, err = f.attempt(ctx, id); err == nil {
			return decodeSpilled(row)
		}
		if errors.Is(err, pgx.ErrNoRows) {
			return "", nil, fmt.Errorf("spilled message: %w", err)
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
	return f.queries.GetSpill(ctx, f.schema.In(f.pool), pgtype.UUID{Bytes: id, Valid: true})
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
			f.log.WarnContext(ctx, "bus: old large messages could not be deleted", "err", err)
		}
		timer.Reset(sweepEvery)
	}
}

// expire deletes the rows older than age.
func (f *fetcher) expire(ctx context.Context, age time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	for {
		deleted, err := f.queries.ExpireSpill(ctx, f.schema.In(f.pool), dbsqlc.ExpireSpillParams{
			OlderThanSeconds: age.Seconds(), AtMost: sweepAtMost,
		})
		if err != nil || deleted < sweepAtMost {
			return err
		}
	}
}

func (f *fetcher) close() { f.pool.Close() }
