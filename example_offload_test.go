package trunkline_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/riverqueue/river"

	"github.com/trunkline/trunkline"
)

// shoutArgs is a job that somebody waits for.
type shoutArgs struct {
	Text string `json:"text"`
}

func (shoutArgs) Kind() string { return "shout" }

type shouter struct {
	river.WorkerDefaults[shoutArgs]
}

// Work tells how far it is, and answers.
func (shouter) Work(ctx context.Context, job *river.Job[shoutArgs]) error {
	ref, asked := trunkline.JobRefFrom(ctx)
	if !asked {
		return nil
	}
	if err := ref.Push(ctx, "progress", map[string]int{"percent": 50}); err != nil {
		return err
	}
	return ref.Reply(trunkline.OK(map[string]string{"text": strings.ToUpper(job.Args.Text)}))
}

// hall has its pushes answered by jobs.
type hall struct{}

func (hall) Join(context.Context, *trunkline.Socket, trunkline.Payload) (any, error) { return nil, nil }

func (hall) HandleIn(_ context.Context, _ *trunkline.Socket, _ string, p trunkline.Payload) (trunkline.Reply, error) {
	var args shoutArgs
	if err := p.Decode(&args); err != nil {
		return trunkline.Fail(map[string]string{"reason": "want text"}), nil
	}
	return trunkline.Offload(trunkline.Job{Args: args}), nil
}

// A push that a job answers; its repeat with the same key gets the same answer.
func ExampleOffload() {
	databaseURL, drop := database()
	defer drop()
	srv := newServer(databaseURL)
	srv.Jobs(trunkline.JobsOptions{Workers: func(w *river.Workers) { river.AddWorker(w, shouter{}) }})
	srv.Channel("hall", func() trunkline.Channel { return hall{} })
	url, stop := start(srv)
	defer stop()

	alice := connect(url, "alice")
	defer alice.close()
	alice.send(`["1","1","hall","phx_join",{}]`)
	alice.next()
	alice.send(`["1","2","hall","shout",{"text":"hello","key":"k1"}]`)
	for range 2 {
		event, payload := alice.next()
		fmt.Println(event, string(payload))
	}
	alice.send(`["1","3","hall","shout",{"text":"hello","key":"k1"}]`)
	event, payload := alice.next()
	fmt.Println(event, string(payload))
	// Output:
	// progress {"percent":50}
	// phx_reply {"response":{"text":"HELLO"},"status":"ok"}
	// phx_reply {"response":{"text":"HELLO"},"status":"ok"}
}
