package history

import (
	"context"
	"log/slog"

	"github.com/trunkline/trunkline/internal/dbsqlc"
)

// A relay moves what SQL transactions published from the outbox into the
// streams. Of all relays of an installation one is the leader and works; the
// others wait to take over.
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
}

// run works until ctx ends, and returns when nothing of it is left. What goes
// wrong with Postgres is logged and tried again.
func (r *relay) run(ctx context.Context) {
	<-ctx.Done()
}
