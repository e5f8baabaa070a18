package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const (
	secret    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	newSecret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDAAAAAAAAAAA="
)

// receiver is a server, and a worker with an endpoint at it.
func receiver(t *testing.T, h http.HandlerFunc, change func(*Config)) *Worker {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A handler's context ends with its connection only once the body was read.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		h(w, r)
	}))
	config := Config{
		Endpoints: map[string]Endpoint{"billing": {
			URL: server.URL + "/in?token=hidden", Secret: secret, Timeout: 5 * time.Second, AllowPrivate: true,
		}},
		Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&config)
	}
	w, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.Close()
		server.CloseClientConnections()
		server.Close()
	})
	return w
}

func job(t *testing.T, payload string) *river.Job[Args] {
	t.Helper()
	args, err := newArgs("billing", "invoice.paid", json.RawMessage(payload))
	if err != nil {
		t.Fatal(err)
	}
	row := &rivertype.JobRow{ID: 7, Attempt: 1, MaxAttempts: 10, CreatedAt: time.Now()}
	return &river.Job[Args]{JobRow: row, Args: args}
}

func cancelled(err error) bool {
	var c *rivertype.JobCancelError
	return errors.As(err, &c)
}

func TestDelivery(t *testing.T) {
	t.Parallel()
	type request struct {
		method, path, body string
		header             http.Header
	}
	got := make(chan request, 2)
	w := receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- request{r.Method, r.URL.Path, string(body), r.Header}
	}, func(c *Config) {
		e := c.Endpoints["billing"]
		e.Secret = secret + " " + newSecret
		c.Endpoints["billing"] = e
	})
	j := job(t, `{"amount": 12.50, "note": "a <b> & c"}`)
	var ids []string
	var bodies []string
	for range 2 {
		if err := w.Work(t.Context(), j); err != nil {
			t.Fatal(err)
		}
		r := <-got
		if r.method != http.MethodPost || r.path != "/in" || r.header.Get("Content-Type") != "application/json" {
			t.Errorf("got %s %s with %v", r.method, r.path, r.header)
		}
		for _, s := range []string{secret, newSecret} {
			verifier, err := standardwebhooks.NewWebhook(s)
			if err != nil {
				t.Fatal(err)
			}
			if err := verifier.Verify([]byte(r.body), r.header); err != nil {
				t.Errorf("a signature: %v", err)
			}
			if verifier.Verify([]byte(r.body+" "), r.header) == nil {
				t.Error("another body has the same signature")
			}
		}
		ids, bodies = append(ids, r.header.Get("webhook-id")), append(bodies, r.body)
	}
	if ids[0] == "" || ids[0] != ids[1] || bodies[0] != bodies[1] {
		t.Errorf("attempts differ: %q %q", ids, bodies)
	}
	want := `{"type":"invoice.paid","timestamp":"` + j.Args.CreatedAt.Format(time.RFC3339Nano) + `","data":{"amount":12.50,"note":"a <b> & c"}}`
	if bodies[0] != want {
		t.Errorf("body %s, want %s", bodies[0], want)
	}
}

// What becomes of each answer: delivered, tried again, or cancelled.
func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status int
		want   string
	}{
		{200, "delivered"},
		{202, "delivered"},
		{204, "delivered"},
		{299, "delivered"},
		{301, "failed"},
		{302, "failed"},
		{307, "failed"},
		{400, "failed"},
		{401, "failed"},
		{404, "failed"},
		{408, "failed"},
		{410, "cancelled"},
		{429, "failed"},
		{500, "failed"},
		{503, "failed"},
	} {
		requests := 0
		w := receiver(t, func(w http.ResponseWriter, r *http.Request) {
			requests++
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(test.status)
			if test.status != 204 {
				_, _ = io.WriteString(w, "because\x00\xff\n\x1b[31m of that")
			}
		}, nil)
		err := w.Work(t.Context(), job(t, `{}`))
		got := "delivered"
		if cancelled(err) {
			got = "cancelled"
		} else if err != nil {
			got = "failed"
		}
		if got != test.want || requests != 1 {
			t.Errorf("%d: %s after %d requests, want %s after 1: %v", test.status, got, requests, test.want, err)
		}
		if err != nil && (!strings.Contains(err.Error(), "because") || !utf8.ValidString(err.Error()) || strings.ContainsAny(err.Error(), "\x00\x1b\n") || strings.Contains(err.Error(), "hidden")) {
			t.Errorf("%d: error %q", test.status, err)
		}
	}
}

// What a receiver can do wrong ends in time, and takes little memory.
func TestBadReceivers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		answer  http.HandlerFunc
		timeout time.Duration
		want    string // of the error; none when empty
	}{
		{name: "hangs", timeout: 100 * time.Millisecond, want: "no answer within 100ms", answer: func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
		}},
		{name: "closes instead of an answer", want: "EOF", answer: func(http.ResponseWriter, *http.Request) {
			panic(http.ErrAbortHandler)
		}},
		{name: "closes in the middle of a body", answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, "part")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}},
		{name: "closes in the middle of an error", want: "500 Internal Server Error: part", answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, "part")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}},
		{name: "body without end", answer: endless(200)},
		{name: "error without end", want: "500 Internal Server Error: xxx", answer: endless(500)},
		{name: "body that trickles", timeout: 100 * time.Millisecond, answer: func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}},
		{name: "huge header", want: "headers exceeded", answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Huge", strings.Repeat("x", 10*maxHeaderBytes))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := receiver(t, test.answer, func(c *Config) {
				e := c.Endpoints["billing"]
				if test.timeout != 0 {
					e.Timeout = test.timeout
				}
				c.Endpoints["billing"] = e
			})
			began := time.Now()
			err := w.Work(t.Context(), job(t, `{}`))
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || cancelled(err) || !strings.Contains(err.Error(), test.want)):
				t.Errorf("%v, want an error with %q", err, test.want)
			case err != nil && (len(err.Error()) > 2*maxExcerpt || strings.Contains(err.Error(), "hidden")):
				t.Errorf("error: %s", err)
			}
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func endless(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		for chunk := []byte(strings.Repeat("x", 1<<15)); r.Context().Err() == nil; {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
}

// A node that stops interrupts an attempt: River then tries it again and does
// not count it, which it knows by the error.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	w := receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}, nil)
	if err := w.Work(ctx, job(t, `{}`)); !errors.Is(err, context.Canceled) || cancelled(err) {
		t.Errorf("%v, want context.Canceled", err)
	}
}

// A job whose endpoint another node may know is left to it, for a while.
func TestUnknownEndpoint(t *testing.T) {
	t.Parallel()
	w := receiver(t, func(http.ResponseWriter, *http.Request) {}, nil)
	j := job(t, `{}`)
	j.Args.Endpoint = "shipping"
	var snoozed *rivertype.JobSnoozeError
	if err := w.Work(t.Context(), j); !errors.As(err, &snoozed) {
		t.Errorf("a new job: %v", err)
	}
	j.CreatedAt = time.Now().Add(-patience)
	if err := w.Work(t.Context(), j); !cancelled(err) || !strings.Contains(err.Error(), `"shipping"`) {
		t.Errorf("an old job: %v", err)
	}
	if _, _, err := w.Job("shipping", "x", json.RawMessage("{}")); !errors.Is(err, ErrUnknownEndpoint) {
		t.Errorf("inserting: %v", err)
	}
	for _, args := range [][2]string{{"", "{}"}, {strings.Repeat("x", MaxTypeBytes+1), "{}"}, {"x", strings.Repeat("1", MaxPayloadBytes+1)}} {
		if _, _, err := w.Job("billing", args[0], json.RawMessage(args[1])); err == nil {
			t.Errorf("%.10q of %d bytes was taken", args[0], len(args[1]))
		}
	}
}

// Each wait is the schedule's and up to a tenth more, or what the receiver
// asks for.
func TestNextRetry(t *testing.T) {
	t.Parallel()
	header := ""
	w := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		if header != "" {
			w.Header().Set("Retry-After", header)
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}, nil)
	if len(defaultSchedule) != maxAttempts-1 {
		t.Errorf("%d waits for %d attempts", len(defaultSchedule), maxAttempts)
	}
	for _, test := range []struct {
		attempt int
		header  string
		want    time.Duration
	}{
		{1, "", 5 * time.Second},
		{2, "", 5 * time.Minute},
		{9, "", 24 * time.Hour},
		{50, "", 24 * time.Hour}, // retried by hand
		{1, "60", time.Minute},
		{1, "1", 5 * time.Second},
		{1, "999999999999999999999", 5 * time.Second},
		{1, "99999999", maxRetryAfter},
		{1, "-1", 5 * time.Second},
		{1, "soon", 5 * time.Second},
		{1, time.Now().Add(time.Hour).UTC().Format(http.TimeFormat), time.Hour},
		{1, time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat), 5 * time.Second},
	} {
		j := job(t, `{}`)
		j.Attempt, header = test.attempt, test.header
		if err := w.Work(t.Context(), j); err == nil {
			t.Fatal("delivered")
		}
		least := test.want - 2*time.Second // the test's own time, and a date's seconds
		if wait := time.Until(w.NextRetry(j)); wait < least || wait > test.want+test.want/10 {
			t.Errorf("attempt %d, Retry-After %q: %v, want %v", test.attempt, test.header, wait, test.want)
		}
	}
}

func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(*Endpoint)
		want   string
	}{
		{"no URL", func(e *Endpoint) { e.URL = "" }, `endpoint "billing": URL: want https://`},
		{"another scheme", func(e *Endpoint) { e.URL = "ftp://hidden.example" }, "URL: want https://"},
		{"no host", func(e *Endpoint) { e.URL = "https:///hidden" }, "URL: want https://"},
		{"no URL at all", func(e *Endpoint) { e.URL = "https://hidden%zz" }, "URL: want https://"},
		{"private address", func(e *Endpoint) { e.URL = "https://10.0.0.1/hidden" }, "URL: the address 10.0.0.1 is private"},
		{"no secret", func(e *Endpoint) { e.Secret = " " }, "secret (WEBHOOK_SECRET): it is missing"},
		{"no prefix", func(e *Endpoint) { e.Secret = strings.TrimPrefix(secret, secretPrefix) }, "secret (WEBHOOK_SECRET): want"},
		{"short secret", func(e *Endpoint) { e.Secret = "whsec_MfKQ" }, "24 to 64 bytes"},
		{"long secret", func(e *Endpoint) { e.Secret = "whsec_" + strings.Repeat("MfKQ", 22) }, "24 to 64 bytes"},
		{"second secret", func(e *Endpoint) { e.Secret += " whsec_!" }, "24 to 64 bytes"},
		{"timeout", func(e *Endpoint) { e.Timeout = time.Hour }, "timeout is 1h0m0s: want at most 1m0s"},
		{"negative timeout", func(e *Endpoint) { e.Timeout = -1 }, "timeout is -1ns"},
	} {
		e := Endpoint{URL: "https://example.com/hidden", Secret: secret}
		test.change(&e)
		_, err := New(Config{Endpoints: map[string]Endpoint{"billing": e}})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		} else if strings.Contains(err.Error(), "MfKQ") || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: the error holds the secret or the URL: %v", test.name, err)
		}
	}
	if _, err := New(Config{Schedule: []time.Duration{-1}}); err == nil {
		t.Error("a negative wait was taken")
	}
	if _, err := New(Config{Endpoints: map[string]Endpoint{"": {URL: "https://example.com", Secret: secret}}}); err == nil {
		t.Error("an empty name was taken")
	}
}
