package jobs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/trunkline/trunkline/internal/dbsqlc"
)

// KindJobs is the bus's kind of the messages of this package.
const KindJobs byte = 'j'

const (
	retryStart = 500 * time.Millisecond
	// cancelWithin is what jobs have to end after they were told to, when the
	// node stops.
	cancelWithin = 5 * time.Second
)

// Jobs is a node's part of the background work. Make it with New, run it with
// Run.
type Jobs struct {
	config  Config
	schema  *dbsqlc.Schema
	queries *dbsqlc.Queries
	client  *river.Client[pgx.Tx]
	waiters *waiters
	claims  *claims
	metrics *metrics

	soon atomic.Bool // sweep at the next tick

	mu        sync.Mutex
	delivered []int64 // to be marked
}

// New makes no connection yet.
func New(config Config) (*Jobs, error) {
	config = config.withDefaults()
	if config.RescueAfter < config.Timeout {
		return nil, fmt.Errorf("JobsOptions.RescueAfter is %v: want at least Timeout, %v", config.RescueAfter, config.Timeout)
	}
	schema, err := dbsqlc.NewSchema(config.Schema)
	if err != nil {
		return nil, err
	}
	j := &Jobs{config: config, schema: schema, queries: dbsqlc.New(), waiters: newWaiters()}
	j.claims = &claims{jobs: j}
	if j.metrics, err = newMetrics(config.Registerer, j.waiters.len); err != nil {
		return nil, fmt.Errorf("registering the metrics of jobs: %w", err)
	}
	if j.client, err = j.newClient(); err != nil {
		return nil, fmt.Errorf("jobs: %w", err)
	}
	return j, nil
}

func (j *Jobs) newClient() (*river.Client[pgx.Tx], error) {
	workers := j.config.Workers
	if workers == nil {
		workers = river.NewWorkers()
	}
	if err := river.AddWorkerSafely(workers, &taskWorker{tasks: j.tasks()}); err != nil {
		return nil, err
	}
	if err := j.addWebhooks(workers); err != nil {
		return nil, err
	}
	queues := map[string]river.QueueConfig{}
	for _, limits := range []map[string]int{defaultQueues, j.config.Queues} {
		for name, most := range limits {
			if most > 0 {
				queues[name] = river.QueueConfig{MaxWorkers: most}
			} else {
				delete(queues, name)
			}
		}
	}
	return river.NewClient(riverpgxv5.New(j.config.RiverPool), &river.Config{
		ID:                   j.config.Bus.ID(),
		Schema:               j.schema.Name(),
		Logger:               riverLogger(j.config.Logger),
		Workers:              workers,
		Queues:               queues,
		Middleware:           []rivertype.Middleware{&answering{jobs: j}},
		PeriodicJobs:         periodic(j.tasks()),
		FetchCooldown:        fetchCooldown,
		FetchPollInterval:    fetchPoll,
		FetchOnlyKnownKinds:  true, // a node of another version may know them
		JobTimeout:           j.config.Timeout,
		RescueStuckJobsAfter: j.config.RescueAfter,
		SoftStopTimeout:      max(j.config.StopTimeout, time.Millisecond),
		SkipUnknownJobCheck:  j.config.Workers == nil,
	})
}

// Client is River's, to insert and look at jobs.
func (j *Jobs) Client() *river.Client[pgx.Tx] { return j.client }

// Run works until ctx ends, then lets running jobs end. The schema must be
// migrated.
func (j *Jobs) Run(ctx context.Context) error {
	defer j.closeWebhooks()
	if err := j.start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	var parts sync.WaitGroup
	sweepCtx, stopSweeping := context.WithCancel(context.WithoutCancel(ctx))
	parts.Go(func() { j.sweep(sweepCtx) })
	parts.Go(func() { j.claims.run(sweepCtx) })
	parts.Go(func() { j.watchQueues(sweepCtx) })
	<-ctx.Done()
	j.awaitStop()
	stopSweeping()
	parts.Wait()
	return nil
}

// start waits for Postgres as long as it may.
func (j *Jobs) start(ctx context.Context) error {
	deadline := time.Now().Add(j.config.StartTimeout)
	for {
		err := j.checkBudget(ctx)
		var short *BudgetError
		if errors.As(err, &short) {
			return err
		}
		if err == nil {
			err = j.client.Start(ctx)
		}
		if err == nil {
			return nil
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return fmt.Errorf("starting the job client: %w", err)
		}
		select {
		case <-time.After(retryStart):
		case <-ctx.Done():
		}
	}
}

// awaitStop waits for River, whose Start got the context that has ended.
func (j *Jobs) awaitStop() {
	select {
	case <-j.client.Stopped():
	case <-time.After(j.config.StopTimeout + cancelWithin):
		j.config.Logger.Warn("jobs do not end though they were told to: leaving them")
	}
}
