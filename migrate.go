package trunkline

import (
	"context"
	"errors"
	"fmt"

	"github.com/trunkline/trunkline/db/migrations"
	"github.com/trunkline/trunkline/internal/pubsub"
)

// Migrate creates or updates the schema, as Server.Run does at its start unless
// Config.SkipMigrations is set. Any number of nodes may call it at once. Of the
// configuration only the database's URLs, Schema and StartTimeout count; the
// last bounds the wait for Postgres. It refuses, before it changes anything, a
// URL that leads through a transaction pooler.
func Migrate(ctx context.Context, cfg Config) error {
	cfg = cfg.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, cfg.StartTimeout)
	defer cancel()
	// Behind a pooler the lock that keeps migrations apart means nothing.
	if err := pubsub.SelfTest(ctx, cfg.DatabaseDirectURL); errors.Is(err, pubsub.ErrListenDead) {
		return fmt.Errorf("migrate: %w", err)
	}
	if err := migrations.Up(ctx, cfg.DatabaseDirectURL, cfg.Schema); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}
