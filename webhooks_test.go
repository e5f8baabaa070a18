package trunkline_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/trunkline/trunkline"
	"github.com/trunkline/trunkline/internal/pgtest"
)

const webhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// hookReceiver is an endpoint that verifies what it gets.
type hookReceiver struct {
	*httptest.Server
	events   chan string // "type data" of those it took
	ids      chan string // of all attempts
	failures atomic.Int64
}

// newHookReceiver answers with statuses one after the other, then 200.
func newHookReceiver(t *testing.T, statuses ...int) *hookReceiver {
	t.Helper()
	verifier, err := standardwebhooks.NewWebhook(webhookSecret)
	if err != nil {
		t.Fatal(err)
	}
	r := &hookReceiver{events: make(chan string, 100), ids: make(chan string, 100)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		if err := verifier.Verify(body, req.Header); err != nil {
			t.Error(err)
		}
		r.ids <- req.Header.Get("webhook-id")
		if n := int(r.failures.Add(1)); n <= len(statuses) {
			http.Error(w, "out of order", statuses[n-1])
			return
		}
		var event struct {
			Type string
			Data json.RawMessage
		}
		if err := json.Unmarshal(body, &event); err != nil {
			t.Error(err)
		}
		r.events <- event.Type + " " + string(event.Data)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *hookReceiver) await(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-r.events:
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("no event, want %s", want)
	}
}

// startWebhooks starts a node without workers of its own, that gives up after
// four attempts.
func startWebhooks(t *testing.T, endpoints map[string]string) (*trunkline.Server, *pgx.Conn) {
	t.Helper()
	databaseURL := pgtest.URL(t)
	srv := newServer(databaseURL)
	o := trunkline.JobsOptions{
		Webhooks:       map[string]trunkline.WebhookEndpoint{},
		WebhookRetries: []time.Duration{time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond},
	}
	for name, url := range endpoints {
		o.Webhooks[name] = trunkline.WebhookEndpoint{
			URL: url, Secret: webhookSecret, Timeout: 5 * time.Second, AllowPrivate: !strings.Contains(url, "localhost"),
		}
	}
	srv.Jobs(o)
	_, stop := start(srv)
	t.Cleanup(stop)
	conn, err := pgx.Connect(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return srv, conn
}

// ended waits for the end of a job, and returns its state, its attempts and its
// last error.
func ended(t *testing.T, conn *pgx.Conn, id int64) (state string, attempt int, text string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		var finalized *time.Time
		err := conn.QueryRow(t.Context(), `
			select state, attempt, finalized_at, coalesce(errors[array_upper(errors, 1)] ->> 'error', '')
			from trunkline.river_job where id = $1`, id).Scan(&state, &attempt, &finalized, &text)
		if err != nil {
			t.Fatal(err)
		}
		if finalized != nil {
			return state, attempt, text
		}
		if time.Now().After(deadline) {
			t.Fatalf("the job is %s after %d attempts: %s", state, attempt, text)
		}
	}
}

// Queued from Go and from SQL, within a transaction or not, at once, each event
// once; what is rolled back is not sent.
func TestWebhooksCommitWithTheirTransaction(t *testing.T) {
	t.Parallel()
	r := newHookReceiver(t)
	srv, conn := startWebhooks(t, map[string]string{"billing": r.URL})
	ctx := t.Context()
	if _, err := srv.Webhook(ctx, "billing", "plain", map[string]any{"n": 1}); err != nil {
		t.Fatal(err)
	}
	r.await(t, `plain {"n":1}`)
	for _, queue := range map[string]func(tx pgx.Tx) (id int64, err error){
		"go": func(tx pgx.Tx) (int64, error) { return srv.WebhookTx(ctx, tx, "billing", "in.tx", nil) },
		"sql": func(tx pgx.Tx) (id int64, err error) {
			err = tx.QueryRow(ctx, `select trunkline.webhook('billing', 'in.tx', '{}')`).Scan(&id)
			return id, err
		},
	} {
		var ids []int64
		for _, commit := range []bool{false, true} {
			tx, err := conn.Begin(ctx)
			if err != nil {
				t.Fatal(err)
			}
			id, err := queue(tx)
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
			if !commit {
				err = tx.Rollback(ctx)
			} else {
				err = tx.Commit(ctx)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		r.await(t, `in.tx {}`)
		if state, attempt, text := ended(t, conn, ids[1]); state != "completed" || attempt != 1 {
			t.Errorf("the job is %s after %d attempts: %s", state, attempt, text)
		}
		var jobs int
		if err := conn.QueryRow(ctx, `select count(*) from trunkline.river_job where id = $1`, ids[0]).Scan(&jobs); err != nil || jobs != 0 {
			t.Errorf("%d jobs are left of the rollback, %v", jobs, err)
		}
	}
	if n := len(r.ids); n != 3 {
		t.Errorf("%d posts, want 3", n)
	}
}

// A receiver that recovers gets the event, under one id.
func TestWebhookReachesAReceiverThatRecovers(t *testing.T) {
	t.Parallel()
	r := newHookReceiver(t, http.StatusInternalServerError, http.StatusFound, http.StatusNotFound)
	srv, conn := startWebhooks(t, map[string]string{"billing": r.URL})
	id, err := srv.Webhook(t.Context(), "billing", "late", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.await(t, `late {}`)
	if state, attempt, text := ended(t, conn, id); state != "completed" || attempt != 4 || !strings.Contains(text, "404 Not Found: out of order") {
		t.Errorf("the job is %s after %d attempts: %s", state, attempt, text)
	}
	first := <-r.ids
	for range 3 {
		if again := <-r.ids; again != first {
			t.Errorf("id %s, before %s", again, first)
		}
	}
}

// What ends without a delivery stays visible as a job, with the reason, and
// without the URL.
func TestWebhooksThatAreNotDelivered(t *testing.T) {
	t.Parallel()
	broken := newHookReceiver(t, 500, 500, 500, 500)
	gone := newHookReceiver(t, http.StatusGone)
	private := newHookReceiver(t)
	_, port, _ := strings.Cut(private.Listener.Addr().String(), ":")
	srv, conn := startWebhooks(t, map[string]string{
		"broken": broken.URL + "/?token=hidden", "gone": gone.URL + "/?token=hidden", "private": "http://localhost:" + port + "/?token=hidden",
	})
	for _, test := range []struct {
		endpoint, state string
		attempts        int
		text            string
	}{
		{"broken", "discarded", 4, "500 Internal Server Error"},
		{"gone", "cancelled", 1, "410 Gone"},
		{"private", "cancelled", 1, "loopback: refused"},
	} {
		id, err := srv.Webhook(t.Context(), test.endpoint, "lost", nil)
		if err != nil {
			t.Fatal(err)
		}
		state, attempts, text := ended(t, conn, id)
		if state != test.state || attempts != test.attempts || !strings.Contains(text, test.text) || strings.Contains(text, "hidden") {
			t.Errorf("%s: %s after %d attempts: %s", test.endpoint, state, attempts, text)
		}
	}
	if n := len(private.ids); n != 0 {
		t.Errorf("%d posts to a private address", n)
	}
	var hidden int
	if err := conn.QueryRow(t.Context(), `select count(*) from trunkline.river_job j where j::text ~ 'hidden|whsec|MfKQ'`).Scan(&hidden); err != nil || hidden != 0 {
		t.Errorf("%d jobs hold the URL or the secret, %v", hidden, err)
	}
}

// SQL does not know the endpoints: a job of none waits for a node that has it,
// and is then cancelled.
func TestWebhookToAnUnknownEndpoint(t *testing.T) {
	t.Parallel()
	srv, conn := startWebhooks(t, map[string]string{"billing": "https://billing.example"})
	ctx := t.Context()
	if _, err := srv.Webhook(ctx, "shipping", "x", nil); !errors.Is(err, trunkline.ErrUnknownEndpoint) {
		t.Errorf("from Go: %v", err)
	}
	var id int64
	if err := conn.QueryRow(ctx, `select trunkline.webhook('shipping', 'x', '{}')`).Scan(&id); err != nil {
		t.Fatal(err)
	}
	for state := ""; state != "scheduled"; time.Sleep(10 * time.Millisecond) { // left to others
		if err := conn.QueryRow(ctx, `select state from trunkline.river_job where id = $1`, id).Scan(&state); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Exec(ctx, `
		update trunkline.river_job set created_at = now() - interval '11 minutes', scheduled_at = now(), state = 'available' where id = $1`, id); err != nil {
		t.Fatal(err)
	}
	if state, _, text := ended(t, conn, id); state != "cancelled" || !strings.Contains(text, `unknown webhook endpoint "shipping"`) {
		t.Errorf("%s: %s", state, text)
	}
}

// An application's role needs usage of the schema, and no more; bad arguments
// are refused with a sentence.
func TestWebhookSQLFunction(t *testing.T) {
	t.Parallel()
	databaseURL := pgtest.URL(t)
	conn, err := pgx.Connect(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	ctx := t.Context()
	role := "webhook_app_" + strings.ToLower(rand.Text())
	if _, err := conn.Exec(ctx, `
		create role `+role+`; grant usage on schema trunkline to `+role+`;
		listen "trunkline.river_insert"; set role `+role); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), databaseURL)
		if err == nil {
			_, err = conn.Exec(context.Background(), `drop owned by `+role+`; drop role `+role)
			_ = conn.Close(context.Background())
		}
		if err != nil {
			t.Error(err)
		}
	})
	var id int64
	if err := conn.QueryRow(ctx, `select trunkline.webhook('billing', 'x', '{}')`).Scan(&id); err != nil || id == 0 {
		t.Fatalf("job %d, %v", id, err)
	}
	timeout, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if n, err := conn.WaitForNotification(timeout); err != nil || n.Payload != `{"queue": "webhooks"}` {
		t.Errorf("notification %+v, %v", n, err)
	}
	if _, err := conn.Exec(ctx, `select args from trunkline.river_job`); err == nil {
		t.Error("the role reads the jobs")
	}
	for arguments, want := range map[string]string{
		`'', 'x', '{}'`:                            "endpoint is 0 bytes",
		`null, 'x', '{}'`:                          "endpoint is null bytes",
		`repeat('x', 101), 'x', '{}'`:              "endpoint is 101 bytes",
		`'a', null, '{}'`:                          "type is null bytes",
		`'a', repeat('x', 256), '{}'`:              "type is 256 bytes",
		`'a', 'x', null`:                           "payload is null bytes",
		`'a', 'x', to_jsonb(repeat('x', 1048575))`: "payload is 1048577 bytes",
	} {
		if _, err := conn.Exec(ctx, `select trunkline.webhook(`+arguments+`)`); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", arguments, err, want)
		}
	}
}

func TestWebhooksThatAreMisconfigured(t *testing.T) {
	t.Parallel()
	srv := newServer("postgres://127.0.0.1:1/nowhere")
	if _, err := srv.Webhook(t.Context(), "billing", "x", nil); !errors.Is(err, trunkline.ErrNoJobs) {
		t.Errorf("before Run: %v", err)
	}
	srv.Jobs(trunkline.JobsOptions{Webhooks: map[string]trunkline.WebhookEndpoint{"billing": {URL: "https://billing.example"}}})
	if err := srv.Run(t.Context()); err == nil || !strings.Contains(err.Error(), `JobsOptions.Webhooks (WEBHOOKS): endpoint "billing": secret`) {
		t.Errorf("Run: %v", err)
	}
}
