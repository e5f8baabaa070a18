package main

import (
	"context"
	"errors"
	"time"

	"github.com/riverqueue/river"

	"github.com/trunkline/trunkline"
)

// echoArgs is a job that does nothing but answer.
type echoArgs struct {
	Text string `json:"text"`
	// MS is how long it takes, in milliseconds.
	MS int `json:"ms"`
}

// Kind of the job.
func (echoArgs) Kind() string { return "echo" }

type echoWorker struct{ river.WorkerDefaults[echoArgs] }

// Work answers, where somebody asked.
func (*echoWorker) Work(ctx context.Context, job *river.Job[echoArgs]) error {
	if err := take(ctx, job.Args.MS); err != nil {
		return err
	}
	return answer(ctx, object{"text": job.Args.Text, "job": job.ID})
}

// answer sets the answer of the job, if a push waits for it.
func answer(ctx context.Context, response any) error {
	ref, asked := trunkline.JobRefFrom(ctx)
	if !asked {
		return nil
	}
	return ref.Reply(trunkline.OK(response))
}

// take stands for work that takes so many milliseconds.
func take(ctx context.Context, ms int) error {
	timer := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reportArgs is a job of several steps.
type reportArgs struct {
	Steps  int `json:"steps"`
	StepMS int `json:"step_ms"`
}

// Kind of the job.
func (reportArgs) Kind() string { return "report" }

type reportWorker struct {
	river.WorkerDefaults[reportArgs]
}

// Work tells how far it is after each step.
func (*reportWorker) Work(ctx context.Context, job *river.Job[reportArgs]) error {
	ref, asked := trunkline.JobRefFrom(ctx)
	for step := range job.Args.Steps {
		if err := take(ctx, job.Args.StepMS); err != nil {
			return err
		}
		if !asked {
			continue
		}
		// The client may be away: the answer reaches it all the same.
		if err := ref.Push(ctx, "progress", object{"step": step + 1, "of": job.Args.Steps}); err != nil {
			return err
		}
	}
	return answer(ctx, object{"steps": job.Args.Steps, "job": job.ID})
}

// failArgs is a job that fails.
type failArgs struct{}

// Kind of the job.
func (failArgs) Kind() string { return "fail" }

type failWorker struct{ river.WorkerDefaults[failArgs] }

// Work fails: after the last attempt the client is told that the job failed,
// not why.
func (*failWorker) Work(context.Context, *river.Job[failArgs]) error {
	return errors.New("the printer is on fire")
}
