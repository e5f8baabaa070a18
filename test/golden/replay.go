package golden

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"
)

const (
	// racyTries bounds the replays of a case that races in Phoenix itself.
	racyTries = 5

	// settle is the pause after a case, in which the server ends the channels
	// of the connections that just went.
	settle = 120 * time.Millisecond

	// sessionGrace is added to the time after which a longpoll session has
	// ended by itself.
	sessionGrace = 250 * time.Millisecond

	defaultRecvTimeout = 6 * time.Second // a stalled duplicate join takes 5 s

	// closeTimeout is the longest that a draining server takes to close.
	closeTimeout = 10 * time.Second
)

// Target is the server, or the cluster of two, that cases are replayed against.
type Target struct {
	// BaseURL is where clients connect, as http://127.0.0.1:4400.
	BaseURL string

	// PeerURL, if set, takes all WebSocket connections of a case but the first.
	PeerURL string

	// PublishURL is the server whose POST /__server is called. Default: BaseURL.
	PublishURL string

	// Secret is the server's secret_key_base. Default: FixtureSecret.
	Secret string

	// RecvTimeout is how long to wait for a frame. Default: 6 s.
	RecvTimeout time.Duration

	// Shutdown asks the server to stop gracefully (SIGTERM) and returns at
	// once. Cases that shut the server down fail without it.
	Shutdown func() error

	dial dialFunc // TCP unless a test says otherwise
}

// withDefaults fills in what is not set.
func (t Target) withDefaults() Target {
	t.BaseURL = strings.TrimSuffix(t.BaseURL, "/")
	t.PeerURL = strings.TrimSuffix(t.PeerURL, "/")
	t.PublishURL = strings.TrimSuffix(t.PublishURL, "/")
	if t.PublishURL == "" {
		t.PublishURL = t.BaseURL
	}
	if t.Secret == "" {
		t.Secret = FixtureSecret
	}
	if t.RecvTimeout == 0 {
		t.RecvTimeout = defaultRecvTimeout
	}
	if t.dial == nil {
		t.dial = dialTCP
	}
	return t
}

// Replayer replays cases one after the other against one server or cluster.
// The zero value is ready. It is not safe for concurrent use, and no other
// Replayer should use the same servers meanwhile: cases share topics.
type Replayer struct {
	// sessionsEnd is when all longpoll sessions of earlier cases have ended.
	sessionsEnd time.Time
}

// StepError says where a replay left the transcript.
type StepError struct {
	Case string
	Step int // from 1
	Of   int
	Op   string
	Conn string // empty where the step has no connection
	Err  error
}

func (e *StepError) Error() string {
	on := ""
	if e.Conn != "" {
		on = " on " + e.Conn
	}
	return fmt.Sprintf("%s: step %d of %d (%s%s): %v", e.Case, e.Step, e.Of, e.Op, on, e.Err)
}

func (e *StepError) Unwrap() error { return e.Err }

// Replay replays one case against target; a *StepError names the first step that went
// otherwise. A racy case may end in any recorded outcome, and gets up to five
// tries.
func (r *Replayer) Replay(ctx context.Context, c Case, target Target) error {
	tries := 1
	if c.Racy {
		tries = racyTries
	}
	var errs []error
	for range tries {
		if c.watches() {
			if err := sleep(ctx, time.Until(r.sessionsEnd)); err != nil {
				return err
			}
		}
		err := r.once(ctx, c, target.withDefaults())
		if err == nil || ctx.Err() != nil {
			return err
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (r *Replayer) once(ctx context.Context, c Case, target Target) error {
	var outcomes [][]Step
	for _, outcome := range c.outcomes() {
		outcomes = append(outcomes, outcome.withPlaceholders())
	}
	run := newRun(r, target, outcomes[0])
	stepErr := run.follow(ctx, c.Name, outcomes)
	if err := run.end(ctx); err != nil && stepErr == nil {
		return err
	}
	return stepErr
}

// follow takes the steps of the first outcome, and moves to another one that
// began alike where the server does not keep to it.
func (run *run) follow(ctx context.Context, name string, outcomes [][]Step) error {
	others := outcomes[1:]
	for at := 0; at < len(run.steps); {
		index, taken, err := run.step(ctx, at)
		if err == nil {
			at += taken
			continue
		}
		switched := false
		for i, other := range others {
			if index == at && waits(run.steps[at]) && len(other) > at && reflect.DeepEqual(other[:at], run.steps[:at]) {
				run.steps, others, switched = other, append(others[:i:i], others[i+1:]...), true
				break
			}
		}
		if !switched {
			failed := run.steps[index]
			return &StepError{Case: name, Step: index + 1, Of: len(run.steps), Op: failed.Op, Conn: failed.Conn, Err: err}
		}
	}
	return nil
}

// waits reports whether a step only looks at what a connection received, so
// that another one may be tried in its place.
func waits(s Step) bool {
	return s.Op == "recv" || s.Op == "recv_pong" || s.Op == "quiet" || s.Op == "closed"
}

// step does the step at index at, and returns how many steps that took. On an
// error it returns the index of the step that failed: an earlier one if that
// was a request still open.
func (run *run) step(ctx context.Context, at int) (index, taken int, err error) {
	s := run.steps[at]
	taken = 1
	switch s.Op {
	case "note":
	case "token":
		err = run.token(s)
	case "wait":
		err = sleep(ctx, milliseconds(s.MS))
	case "connect":
		err = run.connect(ctx, s)
	case "http":
		err = run.http(ctx, at, s)
	case "server":
		err = run.server(ctx, s)
	case "recv":
		if taken, err = run.recv(ctx, at); err != nil {
			at += taken
		}
	case "recv_pong":
		err = run.recvPong(ctx, s)
	case "quiet":
		err = run.quiet(ctx, at)
	case "closed":
		err = run.closed(ctx, s)
	default:
		err = run.act(s)
	}
	if err != nil {
		return at, taken, err
	}
	index, err = run.finishRequests(ctx, at+taken-1)
	return index, taken, err
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("golden: wait: %w", ctx.Err())
	}
}

func milliseconds(ms int) time.Duration { return time.Duration(ms) * time.Millisecond }
