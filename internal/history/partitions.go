package history

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trunkline/trunkline/internal/dbsqlc"
)

const (
	// partitionsAhead are made before their time, so that the work may fail for
	// as long.
	partitionsAhead = 2
	// mostPartitions are alive at a time by default: reading looks into each.
	mostPartitions = 12

	// Making and dropping partitions needs a lock on everything for a moment.
	// While somebody waits for it, publishers and readers wait behind, so it is
	// tried without waiting first and with a little patience at last.
	impatientTries  = 10
	patientTries    = 2
	patience        = 50 * time.Millisecond
	betweenTries    = 100 * time.Millisecond
	lockUnavailable = "55P03"
)

// widths of partitions that are chosen from.
var widths = []time.Duration{time.Hour, 6 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour}

// partitionWidth is the time that a partition covers: short enough for messages
// to go soon after their age, and long enough for partitions to be few.
func partitionWidth(longestAge time.Duration) time.Duration {
	widest := widths[len(widths)-1]
	if longestAge == 0 {
		return widest
	}
	for _, w := range widths {
		if longestAge <= mostPartitions*w {
			return w
		}
	}
	return widest
}

// makePartitions makes those that are missing now and in the near future.
func (m *maintainer) makePartitions(ctx context.Context, db *store) error {
	width := m.width
	if width == 0 {
		width = partitionWidth(m.patterns.longestAge())
	}
	for {
		name, err := m.tryOften(ctx, func(patience int32) (string, error) {
			db.count("make_partition")
			return db.queries.MakePartition(ctx, db.db, dbsqlc.MakePartitionParams{
				WidthSeconds: width.Seconds(), Ahead: partitionsAhead, Patience: patience,
			})
		})
		if err != nil {
			return fmt.Errorf("making a partition: %w", err)
		}
		if name == "" {
			return nil
		}
		m.log.InfoContext(ctx, "history: made a partition", "name", name)
	}
}

// dropPartitions drops those of which everything is older than the age.
func (m *maintainer) dropPartitions(ctx context.Context, db *store, age time.Duration) error {
	for {
		name, err := m.tryOften(ctx, func(patience int32) (string, error) {
			db.count("drop_partition")
			return db.queries.DropPartition(ctx, db.db, dbsqlc.DropPartitionParams{
				OlderThanSeconds: age.Seconds(), Patience: patience,
			})
		})
		if err != nil {
			return fmt.Errorf("dropping a partition: %w", err)
		}
		if name == "" {
			return nil
		}
		m.log.InfoContext(ctx, "history: dropped a partition", "name", name)
	}
}

// tryOften calls f until it gets its locks. patience is in milliseconds.
func (m *maintainer) tryOften(ctx context.Context, f func(patience int32) (string, error)) (string, error) {
	for try := 1; ; try++ {
		wait := time.Millisecond
		if try > impatientTries {
			wait = patience
		}
		name, err := f(int32(wait.Milliseconds()))
		var pgErr *pgconn.PgError
		if !errors.As(err, &pgErr) || pgErr.Code != lockUnavailable || try == impatientTries+patientTries {
			return name, err
		}
		if !pause(ctx, betweenTries/2+rand.N(betweenTries)) {
			return "", ctx.Err()
		}
	}
}
