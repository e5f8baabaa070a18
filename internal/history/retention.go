package history

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/trunkline/trunkline/internal/dbsqlc"
)

const (
	trimTopics = 500
	// deleteRows bounds one DELETE, and the locks that it holds.
	deleteRows    = 5000
	betweenTrims  = 10 * time.Millisecond
	defaultKeyAge = 24 * time.Hour
)

// A maintainer makes partitions ahead and deletes what is not to be kept. Two
// that work at once leave each other the work by a lock.
//
// What is older than the longest age of the patterns goes by dropping
// partitions. Ages of at most half of that, and counts, are enforced by
// deleting rows; other ages are rounded up to the longest.
type maintainer struct {
	db       dbsqlc.DBTX // a pool
	schema   *dbsqlc.Schema
	patterns patterns
	width    time.Duration // of partitions; 0 chooses by the patterns' ages
	keyAge   time.Duration // of idempotency keys; 0 means 24 h
	log      *slog.Logger
	count    func(kind string) // counts statements; may be nil
}

// maintain makes partitions and drops old ones, and deletes old keys. One
// part's failure does not stop the others.
func (m *maintainer) maintain(ctx context.Context) error {
	db := newStore(m.schema, m.db, m.count)
	err := m.makePartitions(ctx, db)
	if age := m.patterns.longestAge(); age > 0 {
		err = errors.Join(err, m.dropPartitions(ctx, db, age), m.expireDefault(ctx, db, age))
	}
	return errors.Join(err, m.expireKeys(ctx, db))
}

// expireDefault deletes what came while there was no partition for it.
func (m *maintainer) expireDefault(ctx context.Context, db *store, age time.Duration) error {
	return m.repeat(ctx, func() (bool, error) {
		db.count("expire_default")
		rows, err := db.queries.ExpireDefaultPartition(ctx, db.db, dbsqlc.ExpireDefaultPartitionParams{
			OlderThanSeconds: age.Seconds(), AtMost: deleteRows,
		})
		if err != nil {
			return false, fmt.Errorf("deleting old messages of the default partition: %w", err)
		}
		return rows == deleteRows, nil
	})
}

// expireKeys deletes idempotency keys that are too old to be repeated.
func (m *maintainer) expireKeys(ctx context.Context, db *store) error {
	age := m.keyAge
	if age == 0 {
		age = defaultKeyAge
	}
	return m.repeat(ctx, func() (bool, error) {
		db.count("expire_keys")
		rows, err := db.queries.ExpireKeys(ctx, db.db, dbsqlc.ExpireKeysParams{OlderThanSeconds: age.Seconds(), AtMost: deleteRows})
		if err != nil {
			return false, fmt.Errorf("deleting old idempotency keys: %w", err)
		}
		return rows == deleteRows, nil
	})
}

// trim goes through the topics and deletes what their patterns do not keep.
func (m *maintainer) trim(ctx context.Context) error {
	db := newStore(m.schema, m.db, m.count)
	longest := m.patterns.longestAge()
	if !m.trims(longest / 2) {
		return nil
	}
	after := int64(0)
	return m.repeat(ctx, func() (bool, error) {
		db.count("trim")
		result, err := db.queries.TrimTopics(ctx, db.db, dbsqlc.TrimTopicsParams{
			AfterTopic: after, MaxTopics: trimTopics, MaxRows: deleteRows, AgeBelowSeconds: (longest / 2).Seconds(),
		})
		if err != nil {
			return false, fmt.Errorf("deleting messages that patterns do not keep: %w", err)
		}
		after = result.LastTopic
		return after != 0 || result.Deleted == deleteRows, nil
	})
}

// trims tells whether there is a pattern whose messages are deleted one by one.
// ageBelow 0 sets no limit.
func (m *maintainer) trims(ageBelow time.Duration) bool {
	for _, p := range m.patterns {
		if p.MaxCount > 0 || p.MaxAge > 0 && (ageBelow == 0 || p.MaxAge <= ageBelow) {
			return true
		}
	}
	return false
}

// repeat calls f until it says that nothing is left.
func (m *maintainer) repeat(ctx context.Context, f func() (more bool, err error)) error {
	for {
		more, err := f()
		if err != nil || !more {
			return err
		}
		if !pause(ctx, betweenTrims) {
			return ctx.Err()
		}
	}
}
