package main

import (
	"context"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/trunkline/trunkline"
	"github.com/trunkline/trunkline/db/migrations"
)

type migrateCommand struct {
	Up     migrateUpCommand     `cmd:"" help:"Apply all pending migrations."`
	Down   migrateDownCommand   `cmd:"" help:"Undo the newest migration."`
	Status migrateStatusCommand `cmd:"" help:"List the migrations."`
}

type (
	migrateUpCommand     struct{ databaseSettings }
	migrateDownCommand   struct{ databaseSettings }
	migrateStatusCommand struct{ databaseSettings }
)

// Run applies all pending migrations.
func (c *migrateUpCommand) Run(ctx context.Context) error {
	url, err := c.directURL()
	if err != nil {
		return err
	}
	return trunkline.Migrate(ctx, trunkline.Config{DatabaseDirectURL: url, Schema: c.Schema})
}

// Run undoes the newest migration.
func (c *migrateDownCommand) Run(ctx context.Context) error {
	url, err := c.directURL()
	if err != nil {
		return err
	}
	return migrations.Down(ctx, url, c.Schema)
}

// Run lists the migrations.
func (c *migrateStatusCommand) Run(ctx context.Context) error {
	url, err := c.directURL()
	if err != nil {
		return err
	}
	steps, err := migrations.Status(ctx, url, c.Schema)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	for _, s := range steps {
		state := "pending"
		if !s.AppliedAt.IsZero() {
			state = "applied " + s.AppliedAt.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%d\t%s\t%s\n", s.Version, s.Name, state)
	}
	return w.Flush()
}
