package pgtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trunkline/trunkline/db/migrations"
	"github.com/trunkline/trunkline/internal/devdb"
)

const (
	// urlVar names a server to use instead of one of our own.
	urlVar = "TRUNKLINE_TEST_DATABASE_URL"

	databasePrefix  = "trunkline_test_"
	databaseTimeout = time.Minute

	// staleAfter is the age at which a test database in the server of urlVar
	// belongs to a killed run. It is beyond any go test -timeout in use.
	staleAfter = 2 * time.Hour
)

// URL returns the address of a new database with all migrations applied in the
// default schema. It is dropped at the end of the test, with all connections.
func URL(t testing.TB) string {
	t.Helper()
	return shared.database(t, true)
}

// EmptyURL returns the address of a new database with nothing in it. It is
// dropped at the end of the test, with all connections.
func EmptyURL(t testing.TB) string {
	t.Helper()
	return shared.database(t, false)
}

// Migrate applies all migrations in the default schema, for a database of Server.
func Migrate(t testing.TB, databaseURL string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), databaseTimeout)
	defer cancel()
	if err := migrations.Up(ctx, databaseURL, ""); err != nil {
		t.Fatalf("pgtest: migrate: %v", err)
	}
}

// shared is the server of this test binary. It is a variable of the package
// because TestMain cannot hand a value to the tests.
var shared sharedServer

type sharedServer struct {
	mu       sync.Mutex
	opened   bool
	err      error     // why there is no server; it is tried once
	admin    *url.URL  // nil until the first test needs a database
	db       *devdb.DB // nil with urlVar
	home     string
	run      string // starts the names of this run's databases
	template string // "" until the first test needs a migrated database
	count    int
}

func (s *sharedServer) open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened = true
}

// database creates a database for the test.
func (s *sharedServer) database(t testing.TB, migrated bool) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	admin, name, template, err := s.reserve(ctx, migrated)
	if err != nil {
		t.Fatal(err)
	}
	create := "CREATE DATABASE " + pgx.Identifier{name}.Sanitize() + " TEMPLATE " + pgx.Identifier{template}.Sanitize()
	if err := execute(ctx, admin, create); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), databaseTimeout)
		defer cancel()
		if err := dropDatabase(ctx, admin, name); err != nil {
			t.Error(err)
		}
	})
	return withDatabase(admin, name)
}

// reserve starts the server and makes the template when this is the first time.
func (s *sharedServer) reserve(ctx context.Context, migrated bool) (admin *url.URL, name, template string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.opened {
		return nil, "", "", errors.New("pgtest: TestMain of this package must call pgtest.Main")
	}
	if s.err == nil && s.admin == nil {
		s.err = s.start(ctx)
	}
	if s.err == nil && migrated && s.template == "" {
		s.err = s.makeTemplate(ctx)
	}
	if s.err != nil {
		return nil, "", "", s.err
	}
	s.count++
	template = "template0" // nobody can have put anything there
	if migrated {
		template = s.template
	}
	return s.admin, s.run + strconv.Itoa(s.count), template, nil
}

func (s *sharedServer) start(ctx context.Context) error {
	s.run = fmt.Sprintf("%s%d_%d_", databasePrefix, time.Now().Unix(), os.Getpid())
	if given := os.Getenv(urlVar); given != "" {
		admin, err := parseGiven(given)
		if err != nil {
			return err
		}
		if err := dropStale(ctx, admin); err != nil {
			return err
		}
		s.admin = admin
		return nil
	}
	if err := removeAbandoned(ctx); err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	db, home, err := startThrowaway(ctx, logger, os.Stderr, nil)
	if err != nil {
		return err
	}
	s.db, s.home = db, home
	s.admin, err = url.Parse(db.URL())
	return err
}

// makeTemplate migrates a database that the others are copies of.
func (s *sharedServer) makeTemplate(ctx context.Context) error {
	name := s.run + "template"
	if err := execute(ctx, s.admin, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()+" TEMPLATE template0"); err != nil {
		return err
	}
	if err := migrations.Up(ctx, withDatabase(s.admin, name), ""); err != nil {
		return fmt.Errorf("pgtest: migrate the template: %w", errors.Join(err, dropDatabase(ctx, s.admin, name)))
	}
	s.template = name
	return nil
}

// close stops our server, or leaves the given one as it was.
func (s *sharedServer) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db != nil {
		return stopThrowaway(s.db, s.home)
	}
	if s.template == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), databaseTimeout)
	defer cancel()
	return dropDatabase(ctx, s.admin, s.template)
}

func parseGiven(given string) (*url.URL, error) {
	admin, err := url.Parse(given)
	if err != nil || (admin.Scheme != "postgres" && admin.Scheme != "postgresql") {
		return nil, fmt.Errorf("pgtest: %s must be a URL that starts with postgres://", urlVar)
	}
	return admin, nil
}

// withDatabase is the address of another database of the same server.
func withDatabase(admin *url.URL, name string) string {
	u := *admin
	u.Path = "/" + name
	return u.String()
}

// execute runs one statement on a connection of its own.
func execute(ctx context.Context, admin *url.URL, sql string) (err error) {
	conn, err := pgx.Connect(ctx, admin.String())
	if err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("pgtest: %s: %w", sql, err)
	}
	return nil
}

func dropDatabase(ctx context.Context, admin *url.URL, name string) error {
	return execute(ctx, admin, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
}

// dropStale drops the databases that killed runs left in a server that lives on.
func dropStale(ctx context.Context, admin *url.URL) error {
	conn, err := pgx.Connect(ctx, admin.String())
	if err != nil {
		return fmt.Errorf("pgtest: %s: %w", urlVar, err)
	}
	defer func() { _ = conn.Close(ctx) }()
	rows, err := conn.Query(ctx, `SELECT datname::text FROM pg_database WHERE starts_with(datname::text, $1)`, databasePrefix)
	if err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	for _, name := range names {
		if !stale(name, time.Now()) {
			continue
		}
		if err := dropDatabase(ctx, admin, name); err != nil {
			return err
		}
	}
	return nil
}

// stale reads the time in a name of ours.
func stale(name string, now time.Time) bool {
	text, _, _ := strings.Cut(strings.TrimPrefix(name, databasePrefix), "_")
	made, err := strconv.ParseInt(text, 10, 64)
	return err == nil && now.Sub(time.Unix(made, 0)) > staleAfter
}
