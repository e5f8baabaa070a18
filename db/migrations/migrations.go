package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/trunkline/trunkline/internal/dbsqlc"
)

const (
	// versionTable is goose's record of what was applied, inside the schema.
	versionTable = "goose_db_version"
	// connectTimeout applies where the URL sets no connect_timeout.
	connectTimeout = 10 * time.Second
)

// ErrNothingToUndo is returned by [Down] when no migration is applied.
var ErrNothingToUndo = errors.New("no migration is applied")

// A Step is one migration and its state.
type Step struct {
	Version   int64
	Name      string    // the file's name
	AppliedAt time.Time // zero while pending
}

// Up creates the schema where it is missing and applies all pending
// migrations, one transaction each. Concurrent calls, also from other
// processes, wait for each other. databaseURL is a direct connection; an empty
// schema means [dbsqlc.DefaultSchema].
//
// It fails with a sentence that names the cause when Postgres is older than
// 14, when the database's encoding is not UTF8, and when the role may not
// create or use the schema.
func Up(ctx context.Context, databaseURL, schema string) error {
	return run(ctx, databaseURL, schema, func(p *goose.Provider) error {
		_, err := p.Up(ctx)
		return err
	})
}

// Down undoes the newest applied migration, or returns [ErrNothingToUndo].
func Down(ctx context.Context, databaseURL, schema string) error {
	return run(ctx, databaseURL, schema, func(p *goose.Provider) error {
		_, err := p.Down(ctx)
		if errors.Is(err, goose.ErrNoNextVersion) {
			return ErrNothingToUndo
		}
		return err
	})
}

// Status lists all migrations by version, and changes nothing.
func Status(ctx context.Context, databaseURL, schema string) (steps []Step, err error) {
	name, db, provider, err := open(databaseURL, schema)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := checkServer(ctx, db); err != nil {
		return nil, err
	}
	found, err := migrated(ctx, db, name.Name())
	if err != nil {
		return nil, err
	}
	if !found { // goose's Status would create its table
		for _, source := range provider.ListSources() {
			steps = append(steps, Step{Version: source.Version, Name: sourceName(source)})
		}
		return steps, nil
	}
	states, err := provider.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the state of migrations: %w", err)
	}
	for _, state := range states {
		steps = append(steps, Step{Version: state.Source.Version, Name: sourceName(state.Source), AppliedAt: state.AppliedAt})
	}
	return steps, nil
}

// sourceName is the file's name; a migration in Go brings none.
func sourceName(s *goose.Source) string {
	if s.Version == riverVersion {
		return riverName
	}
	return path.Base(s.Path)
}

// run does the work of Up and Down under the lock.
func run(ctx context.Context, databaseURL, schema string, work func(*goose.Provider) error) (err error) {
	name, db, provider, err := open(databaseURL, schema)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := checkServer(ctx, db); err != nil {
		return err
	}
	return withLock(ctx, db, name.Name(), func(conn *sql.Conn) error {
		create, err := embedded.ReadFile(schemaFile)
		if err != nil {
			return err
		}
		if err := ensureSchema(ctx, conn, name.Name(), name.Rewrite(string(create))); err != nil {
			return err
		}
		return work(provider)
	})
}

// open prepares a provider; it makes no connection yet.
func open(databaseURL, schema string) (*dbsqlc.Schema, *sql.DB, *goose.Provider, error) {
	name, err := dbsqlc.NewSchema(schema)
	if err != nil {
		return nil, nil, nil, err
	}
	config, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("database URL: %w", err)
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	db := stdlib.OpenDB(*config)
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files{schema: name},
		goose.WithTableName(name.Name()+"."+versionTable),
		goose.WithExcludeNames([]string{schemaFile}),
		goose.WithGoMigrations(riverMigration(databaseURL, name)),
		goose.WithDisableGlobalRegistry(true),
	)
	if err != nil {
		return nil, nil, nil, errors.Join(fmt.Errorf("reading the migrations: %w", err), db.Close())
	}
	return name, db, provider, nil
}
