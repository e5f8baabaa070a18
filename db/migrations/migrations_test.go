package migrations_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/trunkline/trunkline/db/migrations"
	"github.com/trunkline/trunkline/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func open(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func run(t *testing.T, conn *pgx.Conn, statement string) {
	t.Helper()
	if _, err := conn.Exec(context.Background(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// role makes a role without any privilege, and returns the URL as that role.
func role(t *testing.T, conn *pgx.Conn, databaseURL string) (name, asRole string) {
	t.Helper()
	name = "migrator_" + strings.ToLower(fmt.Sprintf("%p", conn)[2:])
	run(t, conn, "create role "+name+" login password 'secret'")
	t.Cleanup(func() {
		_, _ = conn.Exec(context.Background(), "drop owned by "+name+" cascade; drop role "+name)
	})
	parsed, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	parsed.User = url.UserPassword(name, "secret")
	return name, parsed.String()
}

// Ten nodes start at once on an empty database, and everything is in the schema.
func TestUpAtOnce(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{"trunkline", "other_name"} {
		t.Run(schema, func(t *testing.T) {
			t.Parallel()
			ctx := context.Background()
			databaseURL := pgtest.EmptyURL(t)
			var nodes sync.WaitGroup
			for range 10 {
				nodes.Go(func() {
					if err := migrations.Up(ctx, databaseURL, schema); err != nil {
						t.Error(err)
					}
				})
			}
			nodes.Wait()

			conn := open(t, databaseURL)
			rows, err := conn.Query(ctx, `
				select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
				where n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')`)
			if err != nil {
				t.Fatal(err)
			}
			names, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				if !strings.HasPrefix(name, schema+".") {
					t.Errorf("%s is outside the schema", name)
				}
			}
			for _, table := range []string{"spill", "goose_db_version"} {
				if !strings.Contains(strings.Join(names, " ")+" ", schema+"."+table+" ") {
					t.Errorf("%s.%s is missing", schema, table)
				}
			}
			var applied, versions int
			if err := conn.QueryRow(ctx, "select count(*), count(distinct version_id) from "+schema+".goose_db_version").Scan(&applied, &versions); err != nil {
				t.Fatal(err)
			}
			if applied != versions {
				t.Errorf("%d records of %d versions", applied, versions)
			}
			var locks int
			if err := conn.QueryRow(ctx, "select count(*) from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())").Scan(&locks); err != nil {
				t.Fatal(err)
			}
			if locks != 0 {
				t.Errorf("%d advisory locks are left", locks)
			}
		})
	}
}

// Down undoes one step, to the bottom, and Up brings everything back.
func TestDownAndStatus(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	databaseURL := pgtest.EmptyURL(t)
	applied := func() (applied, all int) {
		t.Helper()
		steps, err := migrations.Status(ctx, databaseURL, "")
		if err != nil {
			t.Fatal(err)
		}
		for i, step := range steps {
			if step.Name == "" || i > 0 && step.Version <= steps[i-1].Version {
				t.Errorf("step %+v", step)
			}
			if !step.AppliedAt.IsZero() {
				applied++
			}
		}
		return applied, len(steps)
	}
	done, all := applied()
	if done != 0 || all == 0 {
		t.Fatalf("%d of %d applied in an empty database", done, all)
	}
	var schemas int
	if err := open(t, databaseURL).QueryRow(ctx, "select count(*) from pg_namespace where nspname = 'trunkline'").Scan(&schemas); err != nil || schemas != 0 {
		t.Errorf("Status made a schema: %d, %v", schemas, err)
	}
	for range 2 {
		if err := migrations.Up(ctx, databaseURL, ""); err != nil {
			t.Fatal(err)
		}
		if done, _ := applied(); done != all {
			t.Fatalf("%d of %d applied after Up", done, all)
		}
		for left := all - 1; left >= 0; left-- {
			if err := migrations.Down(ctx, databaseURL, ""); err != nil {
				t.Fatal(err)
			}
			if done, _ := applied(); done != left {
				t.Fatalf("%d of %d applied, want %d", done, all, left)
			}
		}
		if err := migrations.Down(ctx, databaseURL, ""); !errors.Is(err, migrations.ErrNothingToUndo) {
			t.Fatalf("Down at the bottom: %v", err)
		}
	}
}

// A role without superuser owns everything, or is told what it lacks.
func TestOrdinaryRole(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	databaseURL := pgtest.EmptyURL(t)
	admin := open(t, databaseURL)
	name, asRole := role(t, admin, databaseURL)
	refused := func(want string) {
		t.Helper()
		if err := migrations.Up(ctx, asRole, "app"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Up: %v, want an error with %q", err, want)
		}
	}
	refused(`schema "app" is missing and role "` + name + `" may not create it`)

	run(t, admin, "create schema app")
	refused(`role "` + name + `" may not create objects in schema "app"`)

	run(t, admin, "alter schema app owner to "+name)
	if err := migrations.Up(ctx, asRole, "app"); err != nil {
		t.Errorf("Up as the schema's owner: %v", err)
	}

	run(t, admin, "grant create on database "+pgx.Identifier{admin.Config().Database}.Sanitize()+" to "+name)
	if err := migrations.Up(ctx, asRole, "second"); err != nil {
		t.Errorf("Up as a role that may create schemas: %v", err)
	}
	var foreign int
	if err := admin.QueryRow(ctx, `
		select count(*) from pg_class where relnamespace in ('app'::regnamespace, 'second'::regnamespace)
		and relowner <> $1::regrole`, name).Scan(&foreign); err != nil || foreign != 0 {
		t.Errorf("%d objects belong to others, %v", foreign, err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	databaseURL := pgtest.EmptyURL(t)
	for schema, want := range map[string]string{
		"Upper":                 `schema name "Upper"`,
		"a.b":                   `schema name "a.b"`,
		"user":                  `"user" is a keyword`,
		"pg_app":                `"pg_app"`,
		strings.Repeat("a", 49): "1 to 48",
	} {
		if err := migrations.Up(ctx, databaseURL, schema); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("schema %q: %v, want an error with %q", schema, err, want)
		}
	}
	if err := migrations.Up(ctx, "postgres://%zz", ""); err == nil || !strings.Contains(err.Error(), "database URL") {
		t.Errorf("bad URL: %v", err)
	}

	admin := open(t, databaseURL)
	latin := pgx.Identifier{admin.Config().Database + "_latin"}.Sanitize()
	run(t, admin, "create database "+latin+" encoding 'LATIN1' locale 'C' template template0")
	t.Cleanup(func() { _, _ = admin.Exec(ctx, "drop database "+latin+" with (force)") })
	parsed, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	parsed.Path += "_latin"
	for name, err := range map[string]error{
		"Up":     migrations.Up(ctx, parsed.String(), ""),
		"Status": func() error { _, err := migrations.Status(ctx, parsed.String(), ""); return err }(),
	} {
		if err == nil || !strings.Contains(err.Error(), "UTF8 is needed") {
			t.Errorf("%s in a LATIN1 database: %v", name, err)
		}
	}
}

// Who waits for the lock stops waiting when told to.
func TestLockIsHeldByAnother(t *testing.T) {
	t.Parallel()
	databaseURL := pgtest.EmptyURL(t)
	holder := open(t, databaseURL)
	run(t, holder, "select pg_advisory_lock("+migrations.LockIDText("")+")")
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- migrations.Up(ctx, databaseURL, "") }()
	watcher := open(t, databaseURL)
	for tries := 0; tries == 0; { // until it has tried in vain
		if err := watcher.QueryRow(context.Background(), `
			select count(*) from pg_stat_activity where datname = current_database() and query like '%pg_try_advisory_lock%' and pid <> pg_backend_pid()`).Scan(&tries); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Up: %v, want context.Canceled", err)
	}
	run(t, holder, "select pg_advisory_unlock_all()")
	if err := migrations.Up(context.Background(), databaseURL, ""); err != nil {
		t.Error(err)
	}
}
