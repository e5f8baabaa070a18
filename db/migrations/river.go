package migrations

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/trunkline/trunkline/internal/dbsqlc"
)

const (
	riverVersion = 4 // of ours
	riverName    = "00004_river.go"
	// riverTarget is River's own version. A newer one is a new migration.
	riverTarget = 8
)

// riverMigration creates River's tables in the schema. River migrates through
// a pgx pool, which goose's transaction cannot become, so it is not in one; its
// own steps are recorded one by one, and a repeat goes on after the last.
func riverMigration(databaseURL string, schema *dbsqlc.Schema) *goose.Migration {
	step := func(direction rivermigrate.Direction, target int) *goose.GoFunc {
		return &goose.GoFunc{RunDB: func(ctx context.Context, _ *sql.DB) error {
			return migrateRiver(ctx, databaseURL, schema, direction, target)
		}}
	}
	return goose.NewGoMigration(riverVersion, step(rivermigrate.DirectionUp, riverTarget), step(rivermigrate.DirectionDown, -1))
}

func migrateRiver(ctx context.Context, databaseURL string, schema *dbsqlc.Schema, direction rivermigrate.Direction, target int) error {
	config, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		return fmt.Errorf("database URL: %w", err)
	}
	config.MaxConns, config.MinConns = 2, 0
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer pool.Close()
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{
		Logger: slog.New(slog.DiscardHandler), // goose tells what was done
		Schema: schema.Name(),
	})
	if err != nil {
		return fmt.Errorf("preparing River's migrations: %w", err)
	}
	if _, err := migrator.Migrate(ctx, direction, &rivermigrate.MigrateOpts{TargetVersion: target}); err != nil {
		return fmt.Errorf("migrating River's tables: %w", err)
	}
	return nil
}
