package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"
)

const (
	// lockRetry is the mean time between two tries: short and jittered because
	// ten nodes that start at once wait for each other. Polling, not
	// pg_advisory_lock: a session that waits inside a statement holds a
	// snapshot, which would block CREATE INDEX CONCURRENTLY for ever.
	lockRetry = 200 * time.Millisecond
	// lockTimeout bounds the wait for another node's migrations.
	lockTimeout = 10 * time.Minute
	// unlockTimeout bounds the one statement that releases the lock.
	unlockTimeout = 5 * time.Second
)

// withLock runs fn while a session of the database holds the schema's lock.
func withLock(ctx context.Context, db *sql.DB, schema string, fn func(*sql.Conn) error) (err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	id := lockID(schema)
	if err := lock(ctx, conn, id); err != nil {
		return err
	}
	defer func() {
		unlockCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unlockTimeout)
		defer cancel()
		if _, unlockErr := conn.ExecContext(unlockCtx, "select pg_advisory_unlock($1)", id); unlockErr != nil {
			err = errors.Join(err, fmt.Errorf("releasing the migration lock: %w", unlockErr))
		}
	}()
	return fn(conn)
}

func lock(ctx context.Context, conn *sql.Conn, id int64) error {
	ctx, cancel := context.WithTimeoutCause(ctx, lockTimeout,
		fmt.Errorf("the migration lock was held by another session for %v", lockTimeout))
	defer cancel()
	for {
		var got bool
		if err := conn.QueryRowContext(ctx, "select pg_try_advisory_lock($1)", id).Scan(&got); err != nil {
			return fmt.Errorf("taking the migration lock: %w", err)
		}
		if got {
			return nil
		}
		select {
		case <-time.After(lockRetry/2 + rand.N(lockRetry)):
		case <-ctx.Done():
			return fmt.Errorf("taking the migration lock: %w", context.Cause(ctx))
		}
	}
}

// lockID is one per schema, so that two installations in a database do not wait
// for each other.
func lockID(schema string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("trunkline migrations " + schema))
	return int64(h.Sum64())
}
