package pubsub

import (
	"context"
	"errors"
	"fmt"
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
)

// A fetcher reads spilled messages, over a connection that it opens when it is
// first needed. It is for the dispatcher's goroutine.
type fetcher struct {
	connector *connector
	schema    *dbsqlc.Schema
	queries   *dbsqlc.Queries
	timeout   time.Duration

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

// close closes the connection, once nobody fetches any more.
func (f *fetcher) close() {
	if f.conn != nil {
		f.conn.close()
	}
	f.closing.Wait()
}
