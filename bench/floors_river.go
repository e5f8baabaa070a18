//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/trunkline/trunkline/bench/stats"
)

const (
	// riverSchema is where the servers have River's tables.
	riverSchema = "trunkline"
	bareQueue   = "bare" // where no server looks
	// As the servers have them: internal/jobs/config.go.
	riverCooldown = 10 * time.Millisecond
	riverPoll     = 250 * time.Millisecond
	// riverLimit bounds the end of the work.
	riverLimit = 10 * time.Second
)

// bareJobs is River alone: what a job's way is compared with.
type bareJobs struct {
	pool             *pgxpool.Pool
	inserter, worker *river.Client[pgx.Tx]
	every            time.Duration
	inserted         int
	done             chan struct{} // one for each job

	mu            sync.Mutex
	starts, trips *stats.Histogram
}

type bareArgs struct {
	Inserted time.Time `json:"inserted"`
}

// Kind of the job.
func (bareArgs) Kind() string { return "bare" }

// InsertOpts of the job.
func (bareArgs) InsertOpts() river.InsertOpts { return river.InsertOpts{Queue: bareQueue} }

type bareWorker struct {
	river.WorkerDefaults[bareArgs]
	jobs *bareJobs
}

// Work notes how long ago the job was to be inserted.
func (w bareWorker) Work(_ context.Context, job *river.Job[bareArgs]) error {
	w.jobs.note(w.jobs.starts, time.Since(job.Args.Inserted))
	w.jobs.done <- struct{}{}
	return nil
}

// startBareJobs has one client insert and another work, as between two nodes.
func startBareJobs(ctx context.Context, database string) (*bareJobs, error) {
	b := &bareJobs{done: make(chan struct{}, 10_000), starts: new(stats.Histogram), trips: new(stats.Histogram)}
	var err error
	if b.pool, err = pgxpool.New(ctx, database); err != nil {
		return nil, err
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, bareWorker{jobs: b})
	driver := riverpgxv5.New(b.pool)
	b.inserter, err = river.NewClient(driver, &river.Config{Schema: riverSchema, FetchCooldown: riverCooldown})
	if err == nil {
		b.worker, err = river.NewClient(driver, &river.Config{
			Schema: riverSchema, Workers: workers, Logger: slog.New(slog.DiscardHandler),
			Queues:        map[string]river.QueueConfig{bareQueue: {MaxWorkers: jobWorkers}},
			FetchCooldown: riverCooldown, FetchPollInterval: riverPoll,
		})
	}
	if err == nil {
		err = b.worker.Start(ctx)
	}
	if err != nil {
		b.pool.Close()
		return nil, err
	}
	return b, nil
}

// pace inserts jobs and measures round trips at a rate, and waits for the jobs.
func (b *bareJobs) pace(ctx context.Context, count int, every time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(count)*every+riverLimit)
	defer cancel()
	b.every = every
	errs := make([]error, count)
	var working sync.WaitGroup
	defer working.Wait()
	began := time.Now()
	for i := range count {
		time.Sleep(time.Until(began.Add(time.Duration(i) * every)))
		working.Go(func() {
			_, errs[i] = b.inserter.Insert(ctx, bareArgs{time.Now()}, nil)
		})
		before := time.Now()
		if _, err := b.pool.Exec(ctx, "select 1"); err != nil {
			return err
		}
		b.note(b.trips, time.Since(before))
	}
	working.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for i := range count {
		select {
		case <-b.done:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d bare jobs started: %w", i, count, ctx.Err())
		}
	}
	b.inserted += count
	return nil
}

func (b *bareJobs) note(h *stats.Histogram, took time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h.Add(took)
}

// reset forgets what was measured.
func (b *bareJobs) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	*b.starts, *b.trips, b.inserted = stats.Histogram{}, stats.Histogram{}, 0
}

// rows are what was measured since.
func (b *bareJobs) rows() (starts, trips row) {
	return floorRow("River's insert to start, 100 a second", "jobs", b.starts, b.inserted, b.every),
		floorRow("database round trip, 100 a second", "round trips", b.trips, b.inserted, b.every)
}

func (b *bareJobs) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), riverLimit)
	defer cancel()
	err := b.worker.Stop(ctx)
	b.pool.Close()
	if err != nil {
		return fmt.Errorf("stopping River: %w", err)
	}
	return nil
}
