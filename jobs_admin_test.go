package trunkline_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/trunkline/trunkline"
	"github.com/trunkline/trunkline/internal/pgtest"
)

type choreArgs struct {
	Do string `json:"do" river:"unique"`
}

func (choreArgs) Kind() string { return "chore" }

// choreWorker fails at once, or hangs until it is told to end.
type choreWorker struct {
	river.WorkerDefaults[choreArgs]
	began chan int64 // ids of jobs that hang
}

func (w *choreWorker) Work(ctx context.Context, job *river.Job[choreArgs]) error {
	switch job.Args.Do {
	case "fail":
		return errors.New("it is broken")
	case "hang":
		w.began <- job.ID
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

// choreRoom has a job answer each push.
type choreRoom struct{}

func (choreRoom) Join(context.Context, *trunkline.Socket, trunkline.Payload) (any, error) {
	return nil, nil
}

func (choreRoom) HandleIn(_ context.Context, _ *trunkline.Socket, event string, _ trunkline.Payload) (trunkline.Reply, error) {
	return trunkline.Offload(trunkline.Job{Args: choreArgs{event}}), nil
}

// startChores starts a node that runs chores, unless they are in the queue
// "elsewhere", and an administrator on a connection of its own.
func startChores(t *testing.T) (*trunkline.Server, string, *choreWorker, *trunkline.JobsAdmin) {
	t.Helper()
	database := pgtest.URL(t)
	srv := newServer(database)
	w := &choreWorker{began: make(chan int64, 10)}
	srv.Jobs(trunkline.JobsOptions{Workers: func(workers *river.Workers) { river.AddWorker(workers, w) }})
	srv.Channel("room:*", func() trunkline.Channel { return choreRoom{} })
	url, stop := start(srv)
	t.Cleanup(stop)
	return srv, url, w, dialJobs(t, database)
}

func dialJobs(t *testing.T, database string) *trunkline.JobsAdmin {
	t.Helper()
	admin, err := trunkline.DialJobs(t.Context(), trunkline.Config{DatabaseURL: database})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	return admin
}

func enqueue(t *testing.T, srv *trunkline.Server, do string, opts *river.InsertOpts) int64 {
	t.Helper()
	result, err := srv.Enqueue(t.Context(), choreArgs{do}, opts)
	if err != nil {
		t.Fatal(err)
	}
	return result.Job.ID
}

func awaitState(t *testing.T, admin *trunkline.JobsAdmin, id int64, want rivertype.JobState) *rivertype.JobRow {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		job, err := admin.Client().JobGet(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if job.State == want {
			return job
		}
		if time.Now().After(deadline) {
			t.Fatalf("job %d is %s, want %s", id, job.State, want)
		}
	}
}

// A job that runs is cancelled by another process, on the node that runs it,
// and its client is answered.
func TestJobsAdminCancelsWhatRuns(t *testing.T) {
	t.Parallel()
	_, url, w, admin := startChores(t)
	c := dialClient(t, url, "ann")
	c.join(`{}`)
	ref := c.send("hang", `{}`)
	id := <-w.began
	if _, err := admin.Retry(t.Context(), id); !errors.Is(err, trunkline.ErrJobState) || !strings.Contains(err.Error(), "running") {
		t.Errorf("retry of a job that runs: %v", err)
	}
	job, err := admin.Cancel(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if job.ID != id {
		t.Errorf("cancelled job %d, want %d", job.ID, id)
	}
	got, _, payload := c.read()
	if got != ref {
		t.Errorf("ref %v, want %s", got, ref)
	}
	want(t, "reply", payload, `{"status": "error", "response": {"reason": "the job was cancelled"}}`)
	awaitState(t, admin, id, rivertype.JobStateCancelled)
}

func TestJobsAdminRetries(t *testing.T) {
	t.Parallel()
	srv, _, _, admin := startChores(t)
	id := enqueue(t, srv, "fail", &river.InsertOpts{MaxAttempts: 1})
	awaitState(t, admin, id, rivertype.JobStateDiscarded)
	job, err := admin.Retry(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if job.State != rivertype.JobStateAvailable || job.MaxAttempts != 2 {
		t.Errorf("retried: %s, %d attempts at most", job.State, job.MaxAttempts)
	}
	if job = awaitState(t, admin, id, rivertype.JobStateDiscarded); len(job.Errors) != 2 {
		t.Errorf("%d errors, want one of each attempt", len(job.Errors))
	}
}

func TestJobsAdminRefuses(t *testing.T) {
	t.Parallel()
	srv, _, _, admin := startChores(t)
	waits := &river.InsertOpts{Queue: "elsewhere"}
	done := enqueue(t, srv, "nothing", nil)
	awaitState(t, admin, done, rivertype.JobStateCompleted)
	if _, err := admin.Cancel(t.Context(), done); !errors.Is(err, trunkline.ErrJobState) || !strings.Contains(err.Error(), "completed") {
		t.Errorf("cancel of a completed job: %v", err)
	}
	for name, change := range map[string]func(context.Context, int64) (*rivertype.JobRow, error){"retry": admin.Retry, "cancel": admin.Cancel} {
		if _, err := change(t.Context(), 1<<40); !errors.Is(err, trunkline.ErrNoSuchJob) || !strings.Contains(err.Error(), "1099511627776") {
			t.Errorf("%s of an unknown job: %v", name, err)
		}
	}
	// Cancelling twice is no error.
	cancelled := enqueue(t, srv, "nothing", waits)
	for range 2 {
		if job, err := admin.Cancel(t.Context(), cancelled); err != nil || job.State != rivertype.JobStateCancelled {
			t.Errorf("cancel: %v, %v", job, err)
		}
	}

	unique := &river.InsertOpts{Queue: "elsewhere", UniqueOpts: river.UniqueOpts{ByArgs: true}}
	first := enqueue(t, srv, "once", unique)
	if _, err := admin.Cancel(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	enqueue(t, srv, "once", unique)
	if _, err := admin.Retry(t.Context(), first); !errors.Is(err, trunkline.ErrJobState) || !strings.Contains(err.Error(), "unique") {
		t.Errorf("retry beside another unique job: %v", err)
	}
}

func TestJobsAdminLists(t *testing.T) {
	t.Parallel()
	srv, _, _, admin := startChores(t)
	var ids []int64
	for _, do := range []string{"a", "b", "c"} {
		ids = append(ids, enqueue(t, srv, do, &river.InsertOpts{Queue: "elsewhere"}))
	}
	if _, err := admin.Cancel(t.Context(), ids[1]); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		filter trunkline.JobsFilter
		want   []int64
	}{
		{"newest first", trunkline.JobsFilter{Kinds: []string{"chore"}}, []int64{ids[2], ids[1], ids[0]}},
		{"limit", trunkline.JobsFilter{Kinds: []string{"chore"}, Limit: 2}, []int64{ids[2], ids[1]}},
		{"state", trunkline.JobsFilter{Kinds: []string{"chore"}, States: []rivertype.JobState{"cancelled"}}, []int64{ids[1]}},
		{"states", trunkline.JobsFilter{Kinds: []string{"chore", "other"}, States: []rivertype.JobState{"cancelled", "available"}}, []int64{ids[2], ids[1], ids[0]}},
		{"queue", trunkline.JobsFilter{Queues: []string{"elsewhere"}}, []int64{ids[2], ids[1], ids[0]}},
		{"another queue", trunkline.JobsFilter{Queues: []string{"nowhere"}}, nil},
		{"another kind", trunkline.JobsFilter{Kinds: []string{"other"}}, nil},
	} {
		jobs, err := admin.List(t.Context(), test.filter)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		var got []int64
		for _, job := range jobs {
			got = append(got, job.ID)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
	for text, filter := range map[string]trunkline.JobsFilter{
		`state "sleeping"`: {States: []rivertype.JobState{"sleeping"}},
		"limit -1":         {Limit: -1},
		"limit 10001":      {Limit: 10_001},
	} {
		if _, err := admin.List(t.Context(), filter); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v: %v, want %s", filter, err, text)
		}
	}
}

func TestJobsAdminNeedsTheTables(t *testing.T) {
	t.Parallel()
	admin := dialJobs(t, pgtest.EmptyURL(t))
	if _, err := admin.List(t.Context(), trunkline.JobsFilter{}); err == nil || !strings.Contains(err.Error(), "migrate") {
		t.Errorf("without tables: %v", err)
	}
}
