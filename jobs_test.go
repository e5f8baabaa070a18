package trunkline_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/trunkline/trunkline"
	"github.com/trunkline/trunkline/internal/pgtest"
)

type echoArgs struct {
	Text string `json:"text"`
	Do   string `json:"do"`
}

func (echoArgs) Kind() string { return "echo" }

// echoWorker does what its job says.
type echoWorker struct {
	river.WorkerDefaults[echoArgs]
	worked atomic.Int64
	gate   chan struct{} // "wait" waits for it
}

func (w *echoWorker) Timeout(job *river.Job[echoArgs]) time.Duration {
	if job.Args.Do == "time out" {
		return 50 * time.Millisecond
	}
	return 20 * time.Second
}

func (w *echoWorker) Work(ctx context.Context, job *river.Job[echoArgs]) error {
	w.worked.Add(1)
	ref, asked := trunkline.JobRefFrom(ctx)
	if !asked {
		return errors.New("nobody waits")
	}
	answer := map[string]any{"text": job.Args.Text}
	switch job.Args.Do {
	case "fail":
		return errors.New("no")
	case "panic":
		panic("no")
	case "time out":
		<-ctx.Done()
		return ctx.Err()
	case "cancel":
		if err := ref.Reply(trunkline.Fail(map[string]any{"reason": "not today"})); err != nil {
			return err
		}
		return river.JobCancel(errors.New("no"))
	case "second attempt":
		if job.Attempt == 1 {
			return errors.New("not yet")
		}
	case "wait":
		if err := ref.Push(ctx, "progress", map[string]any{"percent": 50}); err != nil {
			return err
		}
		<-w.gate
	case "nothing":
		return nil
	}
	return ref.Reply(trunkline.OK(answer))
}

// offloadRoom has a job answer each push: its event says what the job does.
type offloadRoom struct{}

func (offloadRoom) Join(context.Context, *trunkline.Socket, trunkline.Payload) (any, error) {
	return nil, nil
}

func (offloadRoom) HandleIn(_ context.Context, _ *trunkline.Socket, event string, p trunkline.Payload) (trunkline.Reply, error) {
	var in struct {
		Text        string
		Acknowledge bool
		Publish     bool
		Refuse      bool
	}
	if err := p.Decode(&in); err != nil {
		return trunkline.NoReply, err
	}
	job := trunkline.Job{Args: echoArgs{in.Text, event}, Acknowledge: in.Acknowledge}
	if event != "second attempt" {
		job.Opts = &river.InsertOpts{MaxAttempts: 1}
	}
	if in.Publish {
		job.Event, job.Payload = "asked", map[string]any{"text": in.Text}
	}
	if in.Refuse {
		job.Tx = func(ctx context.Context, tx pgx.Tx) error {
			return trunkline.Reject(map[string]any{"reason": "refused"})
		}
	}
	return trunkline.Offload(job), nil
}

type offloadNode struct {
	*trunkline.Server
	url  string
	stop func()
}

func startOffload(t *testing.T, database string, w *echoWorker, o trunkline.JobsOptions) offloadNode {
	t.Helper()
	srv := newServer(database)
	o.Workers = func(workers *river.Workers) { river.AddWorker(workers, w) }
	srv.Jobs(o)
	srv.Durable("room:*", trunkline.HistoryOptions{})
	srv.Channel("room:*", func() trunkline.Channel { return offloadRoom{} })
	url, stop := start(srv)
	var stopped atomic.Bool
	n := offloadNode{srv, url, func() {
		if !stopped.Swap(true) {
			stop()
		}
	}}
	t.Cleanup(n.stop)
	return n
}

// none runs no jobs on a node.
var none = map[string]int{trunkline.QueueDefault: 0}

// Every end of a job answers the push's ref.
func TestOffloadAnswers(t *testing.T) {
	t.Parallel()
	w := &echoWorker{gate: make(chan struct{})}
	n := startOffload(t, pgtest.URL(t), w, trunkline.JobsOptions{})
	c := dialClient(t, n.url, "ann")
	c.join(`{}`)
	for _, test := range []struct{ event, payload, status, response string }{
		{"echo", `{"text": "hi"}`, "ok", `{"text": "hi"}`},
		{"nothing", `{}`, "ok", `{}`},
		{"fail", `{}`, "error", `{"reason": "the job failed"}`},
		{"panic", `{}`, "error", `{"reason": "the job failed"}`},
		{"time out", `{}`, "error", `{"reason": "the job timed out"}`},
		{"cancel", `{}`, "error", `{"reason": "not today"}`},
		{"second attempt", `{"text": "again"}`, "ok", `{"text": "again"}`},
		{"echo", `{"refuse": true}`, "error", `{"reason": "refused"}`},
		{"echo", `{"key": 7}`, "error", `{"reason": "\"key\" must be a string that is not empty"}`},
	} {
		status, response, _ := c.push(test.event, test.payload)
		if status != test.status {
			t.Errorf("%s: status %s", test.event, status)
		}
		want(t, test.event, response, test.response)
	}
}

// The push comes in at one node, the job runs at another, progress on the way.
func TestOffloadToAnotherNode(t *testing.T) {
	t.Parallel()
	database := pgtest.URL(t)
	here, there := &echoWorker{}, &echoWorker{gate: make(chan struct{})}
	a := startOffload(t, database, here, trunkline.JobsOptions{Queues: none})
	startOffload(t, database, there, trunkline.JobsOptions{})
	c := dialClient(t, a.url, "ann")
	c.join(`{}`)
	ref := c.send("wait", `{"text": "over there", "publish": true}`)
	_, event, payload := c.read()
	if event == "asked" {
		want(t, "message", payload, `{"text": "over there", "id": 1}`)
		_, event, payload = c.read()
	}
	if event != "progress" {
		t.Fatalf("got %s, want progress", event)
	}
	want(t, "progress", payload, `{"percent": 50}`)
	close(there.gate)
	for {
		got, event, payload := c.read()
		if event == "asked" {
			continue
		}
		if got != ref || event != "phx_reply" {
			t.Fatalf("got %v %s, want the reply of %s", got, event, ref)
		}
		want(t, "reply", payload, `{"status": "ok", "response": {"text": "over there"}}`)
		break
	}
	if here.worked.Load() != 0 || there.worked.Load() != 1 {
		t.Errorf("worked %d times here, %d there", here.worked.Load(), there.worked.Load())
	}
}

// Repeats with a key get the first one's answer: before and after it came.
func TestOffloadRepeats(t *testing.T) {
	t.Parallel()
	w := &echoWorker{gate: make(chan struct{})}
	n := startOffload(t, pgtest.URL(t), w, trunkline.JobsOptions{})
	c := dialClient(t, n.url, "ann")
	c.join(`{}`)
	refs := map[any]bool{}
	for range 3 {
		refs[c.send("wait", `{"key": "k1", "text": "once"}`)] = true
	}
	for event := ""; event != "progress"; {
		_, event, _ = c.read()
	}
	close(w.gate)
	for len(refs) > 0 {
		ref, event, payload := c.read()
		if event != "phx_reply" {
			continue // progress is for each who waits
		}
		if !refs[ref] {
			t.Fatalf("reply of %v, want one of %v", ref, refs)
		}
		delete(refs, ref)
		want(t, "reply", payload, `{"status": "ok", "response": {"text": "once"}}`)
	}
	status, response, _ := c.push("wait", `{"key": "k1", "text": "other"}`)
	if status != "ok" {
		t.Errorf("status %s", status)
	}
	want(t, "late repeat", response, `{"text": "once"}`)
	other := dialClient(t, n.url, "bob")
	other.join(`{}`)
	if _, response, _ = other.push("echo", `{"key": "k1", "text": "bob's own"}`); response["text"] != "bob's own" {
		t.Errorf("somebody else's key: %v", response)
	}
	if worked := w.worked.Load(); worked != 2 {
		t.Errorf("worked %d times, want 2", worked)
	}
}

// A push that is repeated on another node is answered on both, at once.
func TestOffloadRepeatedOnAnotherNode(t *testing.T) {
	t.Parallel()
	database := pgtest.URL(t)
	w := &echoWorker{gate: make(chan struct{})}
	a, b := startOffload(t, database, w, trunkline.JobsOptions{}), startOffload(t, database, w, trunkline.JobsOptions{})
	first, second := dialClient(t, a.url, "ann"), dialClient(t, b.url, "ann")
	first.join(`{}`)
	second.join(`{}`)
	ref := first.send("wait", `{"key": "k1", "text": "both"}`)
	for event := ""; event != "progress"; {
		_, event, _ = first.read()
	}
	again := second.send("wait", `{"key": "k1", "text": "other"}`)
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for moved := false; !moved; time.Sleep(5 * time.Millisecond) {
		if err := conn.QueryRow(t.Context(), "select moved from trunkline.job_replies").Scan(&moved); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	close(w.gate)
	for c, ref := range map[*wireClient]string{first: ref, second: again} {
		for event := ""; event != "phx_reply"; {
			var got any
			var payload object
			if got, event, payload = c.read(); event == "phx_reply" {
				if got != ref {
					t.Errorf("the reply of %v, want %s", got, ref)
				}
				want(t, "reply", payload, `{"status": "ok", "response": {"text": "both"}}`)
			}
		}
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it took %v: told by a sweep only", took)
	}
}

// A client that lost its node gets the answer on another one, once, as an
// event: whether it comes back before the answer or after it.
func TestOffloadSurvivesItsNode(t *testing.T) {
	t.Parallel()
	for _, backFirst := range []bool{true, false} {
		for _, params := range []string{`{}`, `{"job_keys": ["k1"]}`} {
			t.Run(fmt.Sprintf("back first %v, %s", backFirst, params), func(t *testing.T) {
				t.Parallel()
				database := pgtest.URL(t)
				w := &echoWorker{gate: make(chan struct{})}
				a := startOffload(t, database, &echoWorker{}, trunkline.JobsOptions{Queues: none})
				b := startOffload(t, database, w, trunkline.JobsOptions{})
				c := dialClient(t, a.url, "ann")
				c.join(`{}`)
				c.send("wait", `{"key": "k1", "text": "kept"}`)
				for event := ""; event != "progress"; {
					_, event, _ = c.read()
				}
				a.stop()
				back := dialClient(t, b.url, "ann")
				if backFirst {
					back.join(params)
					stranger := dialClient(t, b.url, "bob")
					stranger.join(`{"job_keys": ["k1"]}`)
					close(w.gate)
				} else {
					close(w.gate)
					waitUntilAnswered(t, database)
					back.join(params)
				}
				began := time.Now()
				_, event, payload := back.read()
				if took := time.Since(began); event != "job_reply" || took > time.Second {
					t.Errorf("got %s after %v, want job_reply within a second", event, took)
				}
				want(t, "event", payload, `{"key": "k1", "status": "ok", "response": {"text": "kept"}}`)

				// Nothing is left for another tab, nor for the next join.
				second := dialClient(t, b.url, "ann")
				second.join(`{}`)
				if status, _, before := second.push("echo", `{"text": "later"}`); status != "ok" || len(before) != 0 {
					t.Errorf("before the reply: %v", before)
				}
				if w.worked.Load() != 2 {
					t.Errorf("worked %d times", w.worked.Load())
				}
			})
		}
	}
}

func waitUntilAnswered(t *testing.T, database string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for answered := 0; answered == 0; time.Sleep(10 * time.Millisecond) {
		if err := conn.QueryRow(t.Context(), "select count(*) from trunkline.job_replies where answered_at is not null").Scan(&answered); err != nil {
			t.Fatal(err)
		}
	}
}

// Another tab that joins meanwhile does not take what its user's first tab waits for.
func TestOffloadStaysWithWhoAsked(t *testing.T) {
	t.Parallel()
	w := &echoWorker{gate: make(chan struct{})}
	n := startOffload(t, pgtest.URL(t), w, trunkline.JobsOptions{})
	first, second := dialClient(t, n.url, "ann"), dialClient(t, n.url, "ann")
	first.join(`{}`)
	ref := first.send("wait", `{"text": "mine"}`)
	for event := ""; event != "progress"; {
		_, event, _ = first.read()
	}
	second.join(`{}`)
	close(w.gate)
	if got, event, _ := first.read(); got != ref || event != "phx_reply" {
		t.Errorf("got %v %s", got, event)
	}
	time.Sleep(time.Second) // longer than an answer that nobody took stays untaken
	if _, _, before := second.push("echo", `{}`); len(before) != 0 {
		t.Errorf("the second tab got %v", before)
	}
}

// With Acknowledge the push is answered at once, and the answer is an event.
func TestOffloadAcknowledges(t *testing.T) {
	t.Parallel()
	w := &echoWorker{gate: make(chan struct{})}
	n := startOffload(t, pgtest.URL(t), w, trunkline.JobsOptions{})
	c := dialClient(t, n.url, "ann")
	c.join(`{}`)
	status, response, _ := c.push("wait", `{"text": "later", "acknowledge": true}`)
	key, _ := response["key"].(string)
	if status != "ok" || key == "" {
		t.Fatalf("acknowledged with %s %v", status, response)
	}
	close(w.gate)
	event, payload := "", object(nil)
	for event != "job_reply" {
		_, event, payload = c.read()
	}
	want(t, "event", payload, fmt.Sprintf(`{"key": %q, "status": "ok", "response": {"text": "later"}}`, key))
}

// A job that is cancelled before it runs is answered all the same.
func TestOffloadCancelledBeforeItRan(t *testing.T) {
	t.Parallel()
	database := pgtest.URL(t)
	n := startOffload(t, database, &echoWorker{}, trunkline.JobsOptions{Queues: none})
	c := dialClient(t, n.url, "ann")
	c.join(`{}`)
	ref := c.send("echo", `{}`)
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for changed := int64(0); changed == 0; {
		tag, err := conn.Exec(t.Context(), "update trunkline.river_job set state = 'cancelled', finalized_at = now() where kind = 'echo'")
		if err != nil {
			t.Fatal(err)
		}
		changed = tag.RowsAffected()
	}
	got, _, payload := c.read()
	if got != ref {
		t.Errorf("ref %v", got)
	}
	want(t, "reply", payload, `{"status": "error", "response": {"reason": "the job was cancelled"}}`)
}

func TestJobsRefusesRescueOfWhatMayRun(t *testing.T) {
	t.Parallel()
	srv := newServer(pgtest.URL(t))
	srv.Jobs(trunkline.JobsOptions{Timeout: time.Minute, RescueAfter: time.Second})
	err := srv.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "RescueAfter is 1s: want at least Timeout, 1m0s") {
		t.Errorf("error %v", err)
	}
}

// A node that runs makes partitions ahead, deletes what is old, and does both
// again later.
func TestMaintenanceRuns(t *testing.T) {
	t.Parallel()
	database := pgtest.URL(t)
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), "insert into trunkline.spill (id, body, inserted_at) values (gen_random_uuid(), 'x', now() - interval '1 hour')"); err != nil {
		t.Fatal(err)
	}
	startOffload(t, database, &echoWorker{}, trunkline.JobsOptions{})
	for _, wait := range []string{
		"select count(*) > 1 from pg_inherits where inhparent = 'trunkline.messages'::regclass",
		"select count(*) = 0 from trunkline.spill",
		"select count(distinct args->>'task') >= 5 from trunkline.river_job where kind = 'trunkline_maintenance' and state = 'completed'",
		"select count(*) > 1 from trunkline.river_job where kind = 'trunkline_maintenance' and args->>'task' = 'job_replies_lost'",
	} {
		for deadline, done := time.Now().Add(40*time.Second), false; !done; time.Sleep(20 * time.Millisecond) {
			if err := conn.QueryRow(t.Context(), wait).Scan(&done); err != nil {
				t.Fatal(err)
			}
			if time.Now().After(deadline) {
				t.Fatalf("in vain: %s", wait)
			}
		}
	}
}
