package trunkline

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
)

// JobsAdmin looks at the jobs of an installation and changes them. It works
// none. It may be used from any goroutine.
type JobsAdmin struct {
	client *river.Client[pgx.Tx]
	schema string
	close  func()
}

// Errors of JobsAdmin, which names the job beside them.
var (
	// ErrNoSuchJob: there is none, or none any more: completed jobs are deleted
	// after a day, discarded ones after a week.
	ErrNoSuchJob = errors.New("there is no such job")
	// ErrJobState: a job in this state cannot be changed so.
	ErrJobState = errors.New("wrong state")
)

// DialJobs connects a JobsAdmin to Postgres, by one connection. Of the
// configuration only the database's URLs, Schema and Logger count.
func DialJobs(ctx context.Context, cfg Config) (*JobsAdmin, error) {
	cfg = cfg.withDefaults()
	c, err := pgxpool.ParseConfig(cfg.DatabaseDirectURL)
	if err != nil {
		return nil, errors.New("DatabaseDirectURL (DATABASE_DIRECT_URL) cannot be parsed") // err may quote the password
	}
	c.MaxConns, c.MinConns = 1, 0
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	admin, err := newJobsAdmin(pool, cfg)
	if err == nil {
		err = pool.Ping(ctx)
	}
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("dial: %w", err)
	}
	admin.close = pool.Close
	return admin, nil
}

// JobsAdmin shares the connections that the server has for its jobs. It works
// while the server runs.
func (s *Server) JobsAdmin() (*JobsAdmin, error) { return newJobsAdmin(s.riverPool, s.cfg) }

func newJobsAdmin(pool *pgxpool.Pool, cfg Config) (*JobsAdmin, error) {
	// Without queues and workers it only inserts and looks.
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Schema: cfg.Schema, Logger: cfg.Logger})
	if err != nil {
		return nil, fmt.Errorf("jobs: %w", err)
	}
	return &JobsAdmin{client: client, schema: cfg.Schema, close: func() {}}, nil
}

// Close disconnects what DialJobs has connected.
func (a *JobsAdmin) Close() { a.close() }

// Client is River's, for what JobsAdmin has no method for. It cannot be
// started.
func (a *JobsAdmin) Client() *river.Client[pgx.Tx] { return a.client }

// JobsFilter says which jobs are listed: those in one of the states, of one of
// the queues and of one of the kinds. What is empty excludes nothing.
type JobsFilter struct {
	States []rivertype.JobState
	Queues []string
	Kinds  []string
	// Limit is 1 to 10,000. Default 50.
	Limit int
}

const (
	defaultJobsLimit = 50
	maxJobsLimit     = 10_000 // River's
)

// List returns the newest jobs first.
func (a *JobsAdmin) List(ctx context.Context, f JobsFilter) ([]*rivertype.JobRow, error) {
	if f.Limit == 0 {
		f.Limit = defaultJobsLimit
	}
	if f.Limit < 1 || f.Limit > maxJobsLimit {
		return nil, fmt.Errorf("limit %d: want 1 to %d", f.Limit, maxJobsLimit)
	}
	params := river.NewJobListParams().OrderBy(river.JobListOrderByID, river.SortOrderDesc).First(f.Limit)
	for _, state := range f.States {
		if all := rivertype.JobStates(); !slices.Contains(all, state) {
			return nil, fmt.Errorf("state %q: want one of %q", state, all)
		}
	}
	if len(f.States) > 0 {
		params = params.States(f.States...)
	}
	if len(f.Queues) > 0 {
		params = params.Queues(f.Queues...)
	}
	if len(f.Kinds) > 0 {
		params = params.Kinds(f.Kinds...)
	}
	result, err := a.client.JobList(ctx, params)
	if err != nil {
		return nil, fmt.Errorf("listing jobs: %w", a.explain(err))
	}
	return result.Jobs, nil
}

// Retry makes a job available at once, in whatever state it is unless it runs;
// one whose attempts are used up gets another. A push that has been answered is
// not answered again. The error is ErrNoSuchJob or ErrJobState where it is not
// the database's.
func (a *JobsAdmin) Retry(ctx context.Context, id int64) (*rivertype.JobRow, error) {
	job, err := a.client.JobRetry(ctx, id)
	switch {
	case err != nil:
		return nil, fmt.Errorf("job %d: %w", id, a.explain(err))
	case job.State == rivertype.JobStateRunning:
		return nil, fmt.Errorf("job %d: %w: it is running and can be retried when it has ended", id, ErrJobState)
	}
	return job, nil
}

// Cancel ends a job that has not ended. One that runs is still in the state
// running when Cancel returns: the node that runs it cancels its context. The
// push that waits for a job is answered with an error, within some ten seconds
// where the job did not run. The error is ErrNoSuchJob or ErrJobState where it
// is not the database's.
func (a *JobsAdmin) Cancel(ctx context.Context, id int64) (*rivertype.JobRow, error) {
	job, err := a.client.JobCancel(ctx, id)
	switch {
	case err != nil:
		return nil, fmt.Errorf("job %d: %w", id, a.explain(err))
	case job.State == rivertype.JobStateCompleted || job.State == rivertype.JobStateDiscarded:
		return nil, fmt.Errorf("job %d: %w: it has ended already, it is %s", id, ErrJobState, job.State)
	}
	return job, nil
}

// explain says in words what Postgres says in codes.
func (a *JobsAdmin) explain(err error) error {
	const undefinedTable, uniqueViolation = "42P01", "23505"
	var refused *pgconn.PgError
	switch {
	case errors.Is(err, rivertype.ErrNotFound):
		return ErrNoSuchJob
	case !errors.As(err, &refused):
		return err
	case refused.Code == undefinedTable:
		return fmt.Errorf("the schema %q has no tables for jobs, migrate it first: %w", a.schema, err)
	case refused.Code == uniqueViolation:
		return fmt.Errorf("%w: it is unique, and another one like it waits or runs", ErrJobState)
	}
	return err
}
