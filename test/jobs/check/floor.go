package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
)

const (
	// riverSchema is where the servers have River's tables.
	riverSchema = "trunkline"
	// As the servers have them: internal/jobs/config.go.
	fetchCooldown = 10 * time.Millisecond
	fetchPoll     = 250 * time.Millisecond

	floorQueue   = "floor" // where no server looks
	floorWorkers = 50
	stopTimeout  = 10 * time.Second
)

// A floor measures what a job's latency is compared with: River alone, and the
// database alone.
type floor struct {
	inserter *river.Client[pgx.Tx]
	worker   *river.Client[pgx.Tx]
	conn     *pgx.Conn

	starts, trips, commits samples
}

// floorArgs is a job whose start is noted.
type floorArgs struct {
	Inserted time.Time `json:"inserted"`
}

// Kind of the job.
func (floorArgs) Kind() string { return "floor" }

// InsertOpts of the job.
func (floorArgs) InsertOpts() river.InsertOpts { return river.InsertOpts{Queue: floorQueue} }

type floorWorker struct {
	river.WorkerDefaults[floorArgs]
	starts *samples
}

// Work notes the start.
func (w *floorWorker) Work(_ context.Context, job *river.Job[floorArgs]) error {
	w.starts.add(time.Since(job.Args.Inserted))
	return nil
}

// newInserter is a River client that only inserts, as an application's.
func newInserter(c *cluster) (*river.Client[pgx.Tx], error) {
	return river.NewClient(riverpgxv5.New(c.db), &river.Config{Schema: riverSchema, FetchCooldown: fetchCooldown})
}

// startFloor has a client of its own insert, so that a notification tells the
// worker, as between two nodes. Stop it at the end.
func startFloor(ctx context.Context, c *cluster) (*floor, error) {
	f := &floor{}
	var err error
	if f.inserter, err = newInserter(c); err != nil {
		return nil, err
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, &floorWorker{starts: &f.starts})
	f.worker, err = river.NewClient(riverpgxv5.New(c.db), &river.Config{
		Schema: riverSchema, Workers: workers, Logger: slog.New(slog.DiscardHandler),
		Queues:        map[string]river.QueueConfig{floorQueue: {MaxWorkers: floorWorkers}},
		FetchCooldown: fetchCooldown, FetchPollInterval: fetchPoll,
	})
	if err != nil {
		return nil, err
	}
	if f.conn, err = pgx.Connect(ctx, c.url); err != nil {
		return nil, err
	}
	_, err = f.conn.Exec(ctx, "create table floor (id bigint generated always as identity primary key, n bigint)")
	if err == nil {
		err = f.worker.Start(ctx)
	}
	if err != nil {
		_ = f.conn.Close(ctx)
		return nil, err
	}
	return f, nil
}

// insertToStart inserts a job; its worker notes how long ago that began.
func (f *floor) insertToStart(ctx context.Context) error {
	_, err := f.inserter.Insert(ctx, floorArgs{time.Now()}, nil)
	return err
}

func (f *floor) roundTrip(ctx context.Context) error { return f.timed(ctx, &f.trips, "select 1") }

func (f *floor) commit(ctx context.Context) error {
	return f.timed(ctx, &f.commits, "insert into floor (n) values (1)")
}

func (f *floor) timed(ctx context.Context, to *samples, sql string) error {
	began := time.Now()
	_, err := f.conn.Exec(ctx, sql)
	to.add(time.Since(began))
	return err
}

// forget drops what was measured so far.
func (f *floor) forget() {
	for _, s := range []*samples{&f.starts, &f.trips, &f.commits} {
		s.take()
	}
}

func (f *floor) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := f.worker.Stop(ctx); err != nil {
		return fmt.Errorf("stopping River: %w", err)
	}
	return f.conn.Close(ctx)
}
