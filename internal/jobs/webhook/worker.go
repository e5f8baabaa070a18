package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
)

// defaultSchedule is what Standard Webhooks recommends: the waits after the
// first attempt, which is at once.
var defaultSchedule = []time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
	10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
}

const (
	// jitter is the most that is added to a wait, as a part of it, so that what
	// failed together does not come back together.
	jitter = 0.1

	maxWaits = 100

	// An endpoint that this node does not know may be known to another one, while
	// a new configuration is rolled out: its job waits that long for it.
	patience       = 10 * time.Minute
	askOthersAfter = 10 * time.Second

	// afterTimeout is what an attempt may need beyond its endpoint's timeout.
	afterTimeout = 5 * time.Second
)

// Config of a Worker.
type Config struct {
	Endpoints map[string]Endpoint // by name
	// Schedule is the wait after the first attempt, after the second and so on;
	// when it is over, the event is given up. Default: nine waits, three days.
	Schedule   []time.Duration
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Worker delivers events. It is a River worker.
type Worker struct {
	river.WorkerDefaults[Args]
	endpoints map[string]*endpoint
	schedule  []time.Duration
	log       *slog.Logger
	metrics   *metrics
}

// New checks the endpoints. Its error names the endpoint and the field.
func New(config Config) (*Worker, error) {
	w := &Worker{endpoints: map[string]*endpoint{}, schedule: config.Schedule, log: config.Logger}
	if len(w.schedule) == 0 {
		w.schedule = defaultSchedule
	}
	if len(w.schedule) > maxWaits || slices.Min(w.schedule) < 0 {
		return nil, fmt.Errorf("WebhookRetries has %d waits, the shortest %v: want at most %d, none negative", len(w.schedule), slices.Min(w.schedule), maxWaits)
	}
	if w.log == nil {
		w.log = slog.Default()
	}
	for _, name := range slices.Sorted(maps.Keys(config.Endpoints)) {
		e, err := newEndpoint(name, config.Endpoints[name])
		if err != nil {
			return nil, fmt.Errorf("endpoint %q: %w", name, err)
		}
		w.endpoints[name] = e
	}
	var err error
	if w.metrics, err = newMetrics(config.Registerer); err != nil {
		return nil, fmt.Errorf("registering the metrics of webhooks: %w", err)
	}
	return w, nil
}

// ErrUnknownEndpoint: no endpoint of that name is configured.
var ErrUnknownEndpoint = errors.New("unknown webhook endpoint")

// Job is what to insert for an event.
func (w *Worker) Job(endpoint, eventType string, payload json.RawMessage) (Args, *river.InsertOpts, error) {
	if w.endpoints[endpoint] == nil {
		return Args{}, nil, fmt.Errorf("%w %q", ErrUnknownEndpoint, endpoint)
	}
	args, err := newArgs(endpoint, eventType, payload)
	if err != nil {
		return Args{}, nil, fmt.Errorf("webhook: %w", err)
	}
	return args, &river.InsertOpts{MaxAttempts: len(w.schedule) + 1}, nil
}

// Timeout is the endpoint's, which ends the request, and a little more.
func (w *Worker) Timeout(job *river.Job[Args]) time.Duration {
	if e := w.endpoints[job.Args.Endpoint]; e != nil {
		return e.timeout + afterTimeout
	}
	return afterTimeout
}

// NextRetry is the schedule's next time, or when the receiver asked for it if
// that is later.
func (w *Worker) NextRetry(job *river.Job[Args]) time.Time {
	wait := w.schedule[min(max(job.Attempt, 1), len(w.schedule))-1]
	wait += time.Duration(rand.Float64() * jitter * float64(wait))
	next := time.Now().Add(wait)
	if job.Args.notBefore.After(next) {
		return job.Args.notBefore
	}
	return next
}

// Work makes one attempt. Everything but 2xx is tried again, also what a
// receiver calls the sender's fault: it may be the receiver that is mended. As
// Standard Webhooks says, 410 is the exception.
func (w *Worker) Work(ctx context.Context, job *river.Job[Args]) error {
	e := w.endpoints[job.Args.Endpoint]
	if e == nil {
		return w.unknown(job)
	}
	body, err := encodeBody(job.Args)
	if err != nil {
		return w.cancel(job, outcomeUnreadable, fmt.Errorf("the event cannot be encoded: %w", err))
	}
	began := time.Now()
	err = e.post(ctx, job.Args.ID, body)
	w.metrics.duration.Observe(time.Since(began).Seconds())
	var status *statusError
	var refused *AddressError
	switch {
	case err == nil:
		w.metrics.deliveries.WithLabelValues(outcomeDelivered).Inc()
		return nil
	case errors.As(err, &refused):
		return w.cancel(job, outcomeRefused, err)
	case errors.As(err, &status):
		if status.code == http.StatusGone {
			return w.cancel(job, outcomeGone, err)
		}
		job.Args.notBefore = time.Now().Add(status.retryAfter)
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		w.metrics.deliveries.WithLabelValues(outcomeInterrupted).Inc()
		return err // the node stops, or somebody cancelled the job
	}
	if job.Attempt < job.MaxAttempts {
		w.metrics.deliveries.WithLabelValues(outcomeFailed).Inc()
		return err
	}
	w.metrics.deliveries.WithLabelValues(outcomeDiscarded).Inc()
	w.log.Error("webhook given up", "job_id", job.ID, "webhook_id", job.Args.ID, "endpoint", job.Args.Endpoint, "attempts", job.Attempt)
	return err
}

// unknown leaves the job to the other nodes for a while.
func (w *Worker) unknown(job *river.Job[Args]) error {
	if time.Since(job.CreatedAt) < patience {
		w.log.Debug("no webhook endpoint of that name on this node, leaving it to others", "job_id", job.ID, "endpoint", job.Args.Endpoint)
		return river.JobSnooze(askOthersAfter)
	}
	return w.cancel(job, outcomeUnknown, fmt.Errorf("%w %q: JobsOptions.Webhooks (WEBHOOKS) has no such name", ErrUnknownEndpoint, job.Args.Endpoint))
}

// cancel ends a job that another attempt would not help.
func (w *Worker) cancel(job *river.Job[Args], outcome string, err error) error {
	w.metrics.deliveries.WithLabelValues(outcome).Inc()
	w.log.Error("webhook cancelled", "job_id", job.ID, "webhook_id", job.Args.ID, "endpoint", job.Args.Endpoint, "outcome", outcome)
	return river.JobCancel(err)
}

// Close closes idle connections.
func (w *Worker) Close() {
	for _, e := range w.endpoints {
		e.client.CloseIdleConnections()
	}
}
