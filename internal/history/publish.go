package history

import (
	"context"
	"fmt"

	"github.com/trunkline/trunkline/internal/dbsqlc"
)

// Publish stores a message through the outbox from a process that runs no
// History, by a connection or transaction of its own. The SQL function checks
// what [History.PublishTx] checks.
func Publish(ctx context.Context, db dbsqlc.DBTX, schema, topic, event string, payload []byte, key string) error {
	s, err := dbsqlc.NewSchema(schema)
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	return newStore(s, db, func(string) {}).publish(ctx, topic, event, payload, key)
}
