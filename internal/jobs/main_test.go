package jobs

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/trunkline/trunkline/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// deafBus loses every message.
type deafBus struct{}

func (deafBus) ID() string                                   { return "test@aaaaaaaaaaaa" }
func (deafBus) Publish(byte, string, []byte) error           { return nil }
func (deafBus) PublishTo(string, byte, string, []byte) error { return nil }

func open(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// configure is a configuration on a database of its own.
func configure(t *testing.T) Config {
	t.Helper()
	pool := open(t, pgtest.URL(t))
	return Config{
		Pool: pool, RiverPool: pool, Bus: deafBus{}, Workers: river.NewWorkers(),
		StartTimeout: 10 * time.Second, StopTimeout: 10 * time.Second,
	}
}

// run runs a node until the test's end.
func run(t *testing.T, c Config) *Jobs {
	t.Helper()
	j, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- j.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return j
}

func (j *Jobs) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := j.config.Pool.Exec(context.Background(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func (j *Jobs) count(t *testing.T, sql string) (n int) {
	t.Helper()
	if err := j.config.Pool.QueryRow(context.Background(), sql).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}
