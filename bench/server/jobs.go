package main

import (
	"context"

	"github.com/riverqueue/river"

	"github.com/trunkline/trunkline"
)

// setUpJobs has this node run so many jobs at once, none if it is 0.
func setUpJobs(srv *trunkline.Server, workers int) {
	srv.Jobs(trunkline.JobsOptions{
		Workers: func(w *river.Workers) { river.AddWorker(w, noop{}) },
		Queues: map[string]int{
			trunkline.QueueDefault: workers, trunkline.QueueHeavy: 0, trunkline.QueueWebhooks: 0,
		},
	})
	srv.Channel("j:*", func() trunkline.Channel { return &asker{} })
}

// noopArgs are of a job that does nothing.
type noopArgs struct {
	Number string `json:"q"`
	Body   string `json:"body"`
}

// Kind of the job.
func (noopArgs) Kind() string { return "noop" }

type noop struct{ river.WorkerDefaults[noopArgs] }

// Work answers with the number.
func (noop) Work(ctx context.Context, job *river.Job[noopArgs]) error {
	ref, asked := trunkline.JobRefFrom(ctx)
	if !asked {
		return nil
	}
	return ref.Reply(trunkline.OK(map[string]string{"q": job.Args.Number}))
}

// asker has its pushes answered by jobs.
type asker struct{}

func (*asker) Join(context.Context, *trunkline.Socket, trunkline.Payload) (any, error) {
	return nil, nil
}

func (*asker) HandleIn(_ context.Context, _ *trunkline.Socket, _ string, p trunkline.Payload) (trunkline.Reply, error) {
	var args noopArgs
	if err := p.Decode(&args); err != nil {
		return trunkline.NoReply, err
	}
	return trunkline.Offload(trunkline.Job{Args: args}), nil
}
