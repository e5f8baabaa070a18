package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/trunkline/trunkline/internal/devdb"
)

const (
	startTimeout = 5 * time.Minute // it may have to download Postgres first
	stopTimeout  = 30 * time.Second

	// abandonedAfter keeps young directories out of the clean-up: their owner
	// may be about to take the lock.
	abandonedAfter = time.Minute
)

// Option changes what Server starts.
type Option func(*devdb.Options)

// WithTCP makes the server listen on a free port of 127.0.0.1 as well: see
// DB.TCPURL. A pooler or a proxy needs it.
func WithTCP() Option { return func(o *devdb.Options) { o.Port = -1 } }

// WithSettings passes settings to Postgres, such as max_connections.
func WithSettings(settings map[string]string) Option {
	return func(o *devdb.Options) { maps.Copy(o.Settings, settings) }
}

// Server starts a Postgres for this test alone, which it may stop and kill. Its
// database is empty: see Migrate. It is stopped and deleted at the end of the
// test. It ignores TRUNKLINE_TEST_DATABASE_URL.
func Server(t testing.TB, options ...Option) *devdb.DB {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	logger := slog.New(slog.NewTextHandler(t.Output(), nil))
	db, home, err := startThrowaway(ctx, logger, t.Output(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stopThrowaway(db, home); err != nil {
			t.Error(err)
		}
	})
	return db
}

// startThrowaway starts a Postgres in a directory of its own.
func startThrowaway(ctx context.Context, logger *slog.Logger, out io.Writer, options []Option) (*devdb.DB, string, error) {
	home, err := makeHome()
	if err != nil {
		return nil, "", err
	}
	o := devdb.Options{
		DataDir:     filepath.Join(home, "db"),
		ReuseInitdb: true,
		Output:      out,
		Logger:      logger,
		Settings: map[string]string{
			"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off",
			"max_connections": "300",
		},
	}
	for _, option := range options {
		option(&o)
	}
	db, err := startOnFreePort(ctx, o)
	if err != nil {
		return nil, "", errors.Join(fmt.Errorf("pgtest: %w", err), os.RemoveAll(home))
	}
	return db, home, nil
}

// startOnFreePort replaces port -1 by a free one. Somebody else may take it
// before Postgres does, so it tries a few.
func startOnFreePort(ctx context.Context, o devdb.Options) (*devdb.DB, error) {
	if o.Port != -1 {
		return devdb.Start(ctx, o)
	}
	var errs []error
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		o.Port = l.Addr().(*net.TCPAddr).Port
		if err := l.Close(); err != nil {
			return nil, err
		}
		db, err := devdb.Start(ctx, o)
		if err == nil {
			return db, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// stopThrowaway stops the server and deletes everything.
func stopThrowaway(db *devdb.DB, home string) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return errors.Join(db.Stop(ctx), os.RemoveAll(home))
}

// homes is where the servers' directories are made: not the temporary directory,
// in which other users could put things for the clean-up to find. It is "" for a
// user without a cache directory.
func homes() string {
	cache, err := devdb.CacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(cache, "pgtest")
}

// makeHome makes a directory that the user who runs Postgres can enter.
func makeHome() (string, error) {
	parent := homes()
	if parent != "" {
		// 0755, whatever the umask, for root, whose Postgres runs as another user.
		for _, dir := range []string{filepath.Dir(parent), parent} {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return "", fmt.Errorf("pgtest: %w", err)
			}
			if err := os.Chmod(dir, 0o755); err != nil {
				return "", fmt.Errorf("pgtest: %w", err)
			}
		}
	}
	home, err := os.MkdirTemp(parent, "trunkline-pgtest-")
	if err == nil {
		err = os.Chmod(home, 0o755)
	}
	if err != nil {
		return "", fmt.Errorf("pgtest: %w", err)
	}
	return home, nil
}

// removeAbandoned deletes what killed test binaries left. A directory in use is
// locked, and stays.
func removeAbandoned(ctx context.Context) error {
	parent := homes()
	if parent == "" {
		return nil
	}
	entries, err := os.ReadDir(parent)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || time.Since(info.ModTime()) < abandonedAfter {
			continue // gone meanwhile, or young
		}
		home := filepath.Join(parent, entry.Name())
		err = devdb.Discard(ctx, filepath.Join(home, "db"))
		if errors.Is(err, devdb.ErrJoined) {
			continue
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("pgtest: remove what a killed test left: %w", err)
		}
		if err := os.RemoveAll(home); err != nil {
			return fmt.Errorf("pgtest: %w", err)
		}
	}
	return nil
}
