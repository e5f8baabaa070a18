package golden

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// Tolerance on the recorded duration of a request, itself rounded to 50 ms.
	tookLess = 30 * time.Millisecond
	tookMore = 1500 * time.Millisecond

	recordedPort = ":4418"
)

// openRequest is a plain request and, after done, its answer.
type openRequest struct {
	index  int // of its step
	last   int // index of the last step that it may overlap
	step   Step
	got    *exchange
	err    error
	done   chan struct{}
	cancel context.CancelFunc
}

func (request *openRequest) abandon() {
	request.cancel()
	<-request.done
	if request.got != nil {
		_ = request.got.conn.Close()
	}
}

// http starts a plain request. finishRequests waits for it when the steps that
// it overlaps are done.
func (run *run) http(ctx context.Context, at int, s Step) error {
	path, body := run.bindings.expand(s.Path), ""
	if s.Body != nil {
		body = run.bindings.expand(*s.Body)
	}
	headers := map[string]string{}
	for name, value := range s.Headers {
		if name == "origin" {
			value = run.rewritePort(value)
		}
		headers[name] = run.bindings.expand(value)
	}
	ctx, cancel := context.WithCancel(ctx)
	request := &openRequest{index: at, last: at + s.Overlaps, step: s, done: make(chan struct{}), cancel: cancel}
	run.requests = append(run.requests, request)
	go func() {
		defer close(request.done)
		request.got, request.err = roundTrip(ctx, run.target.dial, run.target.BaseURL, s.Method, path, plainHeaders(headers, body), body)
	}()
	return nil
}

// rewritePort puts the server's port in the place of the recording's.
func (run *run) rewritePort(origin string) string {
	base, err := url.Parse(run.target.BaseURL)
	if err != nil || !strings.HasSuffix(origin, recordedPort) {
		return origin
	}
	return strings.TrimSuffix(origin, recordedPort) + ":" + base.Port()
}

// finishRequests compares the answers that are due once the step at index at
// is done. On an error it returns the index of the request's step.
func (run *run) finishRequests(ctx context.Context, at int) (int, error) {
	var open []*openRequest
	var index int
	var err error
	for _, request := range run.requests {
		if err != nil || request.last > at {
			open = append(open, request)
			continue
		}
		<-request.done
		run.noteSession(request)
		index, err = request.index, run.checkRequest(ctx, request)
		request.abandon()
	}
	run.requests = open
	return index, err
}

func (run *run) checkRequest(ctx context.Context, request *openRequest) error {
	if request.err != nil {
		return fmt.Errorf("%s %s: %w", request.step.Method, request.step.Path, request.err)
	}
	want, got := *request.step.Response, request.got
	if err := checkStatus(want.Status, got); err != nil {
		return err
	}
	if err := checkHeaders(want.Headers, got.response.Header); err != nil {
		return err
	}
	if err := checkAbsent(want.Headers, got.response.Header); err != nil {
		return err
	}
	if want.Status == http.StatusSwitchingProtocols {
		return checkAccept(got.response, request.step.Headers["sec-websocket-key"])
	}
	if err := run.pollRest(ctx, request); err != nil {
		return err
	}
	scratch := run.bindings.clone()
	if err := matchBody(want.Body, got.body, scratch); err != nil {
		return fmt.Errorf("expected body %s, got %s: %w", excerpt([]byte(want.Body)), excerpt(got.body), err)
	}
	run.bindings = scratch
	took := milliseconds(request.step.TookMS)
	if got.took < took-tookLess || got.took > took+tookMore {
		return fmt.Errorf("expected an answer after about %s, got it after %s", took, got.took.Round(time.Millisecond))
	}
	return nil
}

func checkStatus(want int, got *exchange) error {
	if got.response.StatusCode != want {
		return fmt.Errorf("expected status %d, got %d with body %s", want, got.response.StatusCode, excerpt(got.body))
	}
	return nil
}

func checkHeaders(want map[string]string, got http.Header) error {
	for name, value := range want {
		if joined := strings.Join(got.Values(name), ", "); joined != value {
			return fmt.Errorf("header %s: expected %q, got %q", name, value, joined)
		}
	}
	return nil
}

// checkAbsent looks for headers that mean something to a client and that the
// recorder would have written down.
func checkAbsent(want map[string]string, got http.Header) error {
	for name, values := range got {
		lower := strings.ToLower(name)
		telling := lower == "upgrade" || lower == "sec-websocket-protocol" || strings.HasPrefix(lower, "access-control-")
		if _, ok := want[lower]; telling && !ok {
			return fmt.Errorf("header %s: expected none, got %q", lower, strings.Join(values, ", "))
		}
	}
	return nil
}

// matchBody compares JSON as JSON and anything else byte by byte.
func matchBody(want string, got []byte, b *bindings) error {
	recorded, err := parseRecorded([]byte(want))
	if err != nil {
		return b.match(want, string(got))
	}
	received, err := parseReceived(got)
	if err != nil {
		return err
	}
	return matchJSON(decodeMessages(recorded, parseRecorded), decodeMessages(received, parseReceived), b)
}
