package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/trunkline/trunkline/internal/pgtest"
)

type sleepArgs struct{}

func (sleepArgs) Kind() string { return "sleep" }

// A node that could never have its connections does not start; the error names
// the numbers and the mend.
func TestBudget(t *testing.T) {
	t.Parallel()
	c := configure(t)
	c.Connections = 100_000
	j, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	var short *BudgetError
	if err := j.Run(t.Context()); !errors.As(err, &short) || !strings.Contains(err.Error(), "this node may need 100000 database connections") ||
		!strings.Contains(err.Error(), "DATABASE_POOL_SIZE") {
		t.Errorf("Run: %v", err)
	}
	url := pgtest.URL(t)
	limited := open(t, url)
	if _, err := limited.Exec(t.Context(), "alter database "+pgx.Identifier{limited.Config().ConnConfig.Database}.Sanitize()+" connection limit 7"); err != nil {
		t.Fatal(err)
	}
	c.Pool, c.RiverPool, c.Workers, c.Connections = limited, limited, nil, 8
	if j, err = New(c); err != nil {
		t.Fatal(err)
	}
	if err := j.Run(t.Context()); !errors.As(err, &short) || short.Max != 7 {
		t.Errorf("Run with a limit of the database: %v", err)
	}
}

// What a lost notification would have told is found by the sweep.
func TestAnswersAreFoundWithoutNotifications(t *testing.T) {
	t.Parallel()
	c := configure(t)
	c.Queues = map[string]int{QueueDefault: 0}
	if err := river.AddWorkerSafely(c.Workers, river.WorkFunc(func(context.Context, *river.Job[sleepArgs]) error { return nil })); err != nil {
		t.Fatal(err)
	}
	j := run(t, c)
	answered := make(chan Answer, 1)
	who := chanWaiter(answered)
	request := Request{Topic: "room:1", Requester: "ann", Key: "k1", Args: sleepArgs{}, Waiter: who}
	offload(t, j, request)
	// As another node does, whose message was lost.
	j.exec(t, `update trunkline.job_replies set status = 'ok', response = '{"n": 1}', answered_at = now()`)
	j.Lost()
	select {
	case a := <-answered:
		if a.Key != "k1" || a.Status != "ok" || string(a.Response) != `{"n": 1}` {
			t.Errorf("answer %+v", a)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("no answer")
	}
	for deadline := time.Now().Add(10 * time.Second); j.count(t, "select count(*) from trunkline.job_replies where delivered_at is not null") != 1; {
		if time.Now().After(deadline) {
			t.Fatal("it was not marked as delivered")
		}
		time.Sleep(10 * time.Millisecond)
	}

	// After its retention nothing is left.
	j.exec(t, "update trunkline.job_replies set answered_at = now() - interval '25 hours'")
	if err := j.expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := j.count(t, "select count(*) from trunkline.job_replies"); n != 0 {
		t.Errorf("%d replies are left", n)
	}
}

// Answers taken for a channel that was gone by then wait for the next one.
func TestStandbyThatIsGone(t *testing.T) {
	t.Parallel()
	c := configure(t)
	c.Queues = map[string]int{QueueDefault: 0}
	if err := river.AddWorkerSafely(c.Workers, river.WorkFunc(func(context.Context, *river.Job[sleepArgs]) error { return nil })); err != nil {
		t.Fatal(err)
	}
	j := run(t, c)
	offload(t, j, Request{Topic: "room:1", Requester: "ann", Key: "k1", Args: sleepArgs{}, Waiter: &fakeWaiter{channel: "first"}})
	j.Left("first")
	j.exec(t, `update trunkline.job_replies set status = 'ok', response = '{}', answered_at = now() - interval '1 second'`)
	j.waiters.standBy(1, "k1", &fakeWaiter{channel: "gone", gone: true})
	for deadline := time.Now().Add(10 * time.Second); j.waiters.standingBy(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody looked for it")
		}
	}
	answered := make(chan Answer, 1)
	j.Claim(Claim{Topic: "room:1", Requester: "ann", Waiter: chanWaiter(answered)})
	select {
	case <-answered:
	case <-time.After(10 * time.Second):
		t.Fatal("no answer")
	}
}

// chanWaiter hands answers on.
type chanWaiter chan Answer

func (w chanWaiter) Channel() any               { return w }
func (w chanWaiter) Answer(a Answer) bool       { w <- a; return true }
func (chanWaiter) Push(string, json.RawMessage) {}

// offload waits until the node runs.
func offload(t *testing.T, j *Jobs, r Request) {
	t.Helper()
	if err := j.Offload(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

// Metadata and attempts of the application's own stay.
func TestWithReply(t *testing.T) {
	t.Parallel()
	opts, err := withReply(sleepArgs{}, &river.InsertOpts{Metadata: []byte(`{"mine": 1}`), MaxAttempts: 7}, 42)
	if err != nil || opts.MaxAttempts != 7 || string(opts.Metadata) != `{"mine":1,"trunkline_reply":42}` || replyOf(opts.Metadata) != 42 {
		t.Errorf("%+v %s, %v", opts, opts.Metadata, err)
	}
	if opts, err = withReply(sleepArgs{}, nil, 1); err != nil || opts.MaxAttempts != offloadAttempts {
		t.Errorf("%+v, %v", opts, err)
	}
	if _, err = withReply(sleepArgs{}, &river.InsertOpts{Metadata: []byte(`[]`)}, 1); err == nil {
		t.Error("metadata that is no object was taken")
	}
	if replyOf([]byte(`{}`)) != 0 {
		t.Error("a reply without metadata")
	}
}

func TestRequestLimits(t *testing.T) {
	t.Parallel()
	c := configure(t)
	j, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		request Request
		want    error
	}{
		{Request{Key: strings.Repeat("k", MaxKeyBytes+1)}, ErrKey},
		{Request{Topic: strings.Repeat("t", MaxNameBytes), Requester: "u"}, ErrName},
	} {
		if err := j.Offload(t.Context(), test.request); !errors.Is(err, test.want) {
			t.Errorf("%v, want %v", err, test.want)
		}
	}
	// Postgres away.
	away, err := pgxpool.New(t.Context(), "postgres://127.0.0.1:1/none?connect_timeout=1")
	if err != nil {
		t.Fatal(err)
	}
	defer away.Close()
	c.Pool, c.Workers = away, nil
	if j, err = New(c); err != nil {
		t.Fatal(err)
	}
	if err := j.Offload(t.Context(), Request{Topic: "t", Key: "k", Args: sleepArgs{}}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("without a database: %v", err)
	}
}
