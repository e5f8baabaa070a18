package pubsub

import (
	"context"

	"github.com/trunkline/trunkline/internal/dbsqlc"
)

// A sender turns a packed batch into its one statement.
type sender struct {
	schema  *dbsqlc.Schema
	queries *dbsqlc.Queries
}

func (s sender) send(ctx context.Context, conn *connection, p *packed) error {
	if len(p.ids) == 0 {
		return s.queries.Notify(ctx, s.schema.In(conn), dbsqlc.NotifyParams{
			Channels: p.channels, Payloads: p.payloads,
		})
	}
	return s.queries.InsertSpillAndNotify(ctx, s.schema.In(conn), dbsqlc.InsertSpillAndNotifyParams{
		Channels: p.channels, Payloads: p.payloads, Ids: p.ids, Bodies: p.bodies,
	})
}
