package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/trunkline/trunkline/internal/dbsqlc"
)

const (
	taskTimeout   = time.Minute
	lostEvery     = 10 * time.Second
	expireEvery   = time.Minute
	expireAtMost  = 5000
	lostAtMost    = 500
	betweenChunks = 10 * time.Millisecond
)

// taskArgs is a periodic job of the maintenance.
type taskArgs struct {
	Task string `json:"task" river:"unique"`
}

func (taskArgs) Kind() string { return "trunkline_maintenance" }

// InsertOpts: a task that is late does not pile up, and one that failed is
// tried again when it is due the next time.
func (taskArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{
		Queue: QueueMaintenance, MaxAttempts: 1,
		UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
			rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable,
			rivertype.JobStateRunning, rivertype.JobStateScheduled,
		}},
	}
}

type taskWorker struct {
	river.WorkerDefaults[taskArgs]
	tasks []Task
}

func (w *taskWorker) find(name string) (Task, bool) {
	i := slices.IndexFunc(w.tasks, func(t Task) bool { return t.Name == name })
	if i < 0 {
		return Task{}, false
	}
	return w.tasks[i], true
}

// Timeout is the task's.
func (w *taskWorker) Timeout(job *river.Job[taskArgs]) time.Duration {
	if t, ok := w.find(job.Args.Task); ok && t.Timeout > 0 {
		return t.Timeout
	}
	return taskTimeout
}

// Work runs the task.
func (w *taskWorker) Work(ctx context.Context, job *river.Job[taskArgs]) error {
	t, ok := w.find(job.Args.Task)
	if !ok {
		return river.JobCancel(fmt.Errorf("no task is called %q on this node", job.Args.Task))
	}
	return t.Run(ctx)
}

// periodic are the schedules of the tasks, which the leader keeps.
func periodic(tasks []Task) (all []*river.PeriodicJob) {
	for _, t := range tasks {
		all = append(all, river.NewPeriodicJob(
			river.PeriodicInterval(t.Every),
			func() (river.JobArgs, *river.InsertOpts) { return taskArgs{Task: t.Name}, nil },
			&river.PeriodicJobOpts{ID: t.Name, RunOnStart: true},
		))
	}
	return all
}

// tasks are those of the configuration and this package's own.
func (j *Jobs) tasks() []Task {
	return append(slices.Clone(j.config.Tasks),
		Task{Name: "job_replies_lost", Every: lostEvery, Run: j.answerLost},
		Task{Name: "job_replies_expire", Every: expireEvery, Run: j.expire},
	)
}

// answerLost answers for jobs that ended without their worker.
func (j *Jobs) answerLost(ctx context.Context) error {
	return j.repeat(ctx, func() (more bool, err error) {
		ids, err := j.queries.LostJobs(ctx, j.schema.In(j.config.Pool), lostAtMost)
		if err != nil {
			return false, fmt.Errorf("looking for jobs that ended without an answer: %w", err)
		}
		for _, id := range ids {
			err = errors.Join(err, j.answer(ctx, id, cancelled))
		}
		return len(ids) == lostAtMost, err
	})
}

// expire deletes answers whose retention has ended.
func (j *Jobs) expire(ctx context.Context) error {
	return j.repeat(ctx, func() (more bool, err error) {
		rows, err := j.queries.ExpireReplies(ctx, j.schema.In(j.config.Pool), dbsqlc.ExpireRepliesParams{
			OlderThanSeconds: j.config.Retention.Seconds(), AtMost: expireAtMost,
		})
		if err != nil {
			return false, fmt.Errorf("deleting old answers of jobs: %w", err)
		}
		return rows == expireAtMost, nil
	})
}

func (j *Jobs) repeat(ctx context.Context, f func() (more bool, err error)) error {
	for {
		more, err := f()
		if err != nil || !more {
			return err
		}
		select {
		case <-time.After(betweenChunks):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
