package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/trunkline/trunkline/internal/dbsqlc"
)

const (
	statusOK    = "ok"
	statusError = "error"

	answerTimeout = 5 * time.Second
)

// Answers of jobs that give none themselves.
var (
	emptyResponse = json.RawMessage(`{}`)
	failed        = outcome{statusError, json.RawMessage(`{"reason":"the job failed"}`)}
	timedOut      = outcome{statusError, json.RawMessage(`{"reason":"the job timed out"}`)}
	cancelled     = outcome{statusError, json.RawMessage(`{"reason":"the job was cancelled"}`)}
)

type outcome struct {
	status   string
	response json.RawMessage
}

// answering is the middleware around every worker: it stores the answer of a
// job that has one, and has it delivered.
type answering struct {
	river.MiddlewareDefaults
	jobs *Jobs
}

// Work stores the answer after the worker, before River completes the job: a
// node that dies in between works it again, and the first answer stays.
func (a *answering) Work(ctx context.Context, job *rivertype.JobRow, work func(context.Context) error) (err error) {
	id := replyOf(job.Metadata)
	if id == 0 {
		return work(ctx)
	}
	ref := &Ref{jobs: a.jobs, id: id}
	returned := false
	defer func() {
		if !returned && job.Attempt >= job.MaxAttempts { // a panic
			_ = a.jobs.answer(ctx, id, failed)
		}
	}()
	err = work(context.WithValue(ctx, refKey{}, ref))
	returned = true
	result, final := ref.outcome(ctx, job, err)
	if !final {
		return err
	}
	if answerErr := a.jobs.answer(ctx, id, result); answerErr != nil && err == nil {
		return answerErr // tried again
	}
	return err
}

// outcome is what an attempt means for who waits; final is false when there
// will be another attempt.
func (r *Ref) outcome(ctx context.Context, job *rivertype.JobRow, err error) (o outcome, final bool) {
	r.mu.Lock()
	given := r.given
	r.mu.Unlock()
	var snoozed *rivertype.JobSnoozeError
	var cancelledByWorker *rivertype.JobCancelError
	switch {
	case err == nil && given != nil:
		return *given, true
	case err == nil:
		return outcome{statusOK, emptyResponse}, true
	case errors.As(err, &snoozed):
		return o, false
	case errors.As(err, &cancelledByWorker), errors.As(context.Cause(ctx), &cancelledByWorker):
		if given != nil {
			return *given, true
		}
		return cancelled, true
	case job.Attempt < job.MaxAttempts:
		return o, false
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(ctx.Err(), context.DeadlineExceeded):
		return timedOut, true
	default:
		return failed, true
	}
}

// answer stores the first answer and tells the node that waits for it.
func (j *Jobs) answer(ctx context.Context, id int64, o outcome) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
	defer cancel()
	rows, err := j.queries.AnswerReply(ctx, j.schema.In(j.config.Pool), dbsqlc.AnswerReplyParams{
		ID: id, Status: o.status, Response: string(o.response),
	})
	if err != nil {
		return fmt.Errorf("storing the answer of a job: %w", err)
	}
	for _, row := range rows {
		j.metrics.answers.WithLabelValues(o.status).Inc()
		m := message{ID: id, Status: o.status, Data: o.response}
		if row.Moved { // clients may wait on each of its nodes
			j.handle(m)
			j.send(func(body []byte) error { return j.config.Bus.Publish(KindJobs, row.Topic, body) }, m)
			continue
		}
		j.tell(row.Node, row.Topic, m)
	}
	return nil
}

// message goes to the node that waits for a reply: its answer, or an event of
// the job that is under way.
type message struct {
	ID     int64           `json:"id"`
	Status string          `json:"status,omitempty"`
	Event  string          `json:"event,omitempty"`
	Data   json.RawMessage `json:"data"`
}

// tell tells one node.
func (j *Jobs) tell(node, topic string, m message) {
	if node == j.config.Bus.ID() {
		j.handle(m)
		return
	}
	j.send(func(body []byte) error { return j.config.Bus.PublishTo(node, KindJobs, topic, body) }, m)
}

// send may fail: the sweep finds answers, and events are at most once.
func (j *Jobs) send(publish func(body []byte) error, m message) {
	body, err := json.Marshal(m)
	if err == nil {
		err = publish(body)
	}
	if err != nil {
		j.config.Logger.Warn("nodes that wait for a job were not told", "reply_id", m.ID, "error", err)
	}
}

// HandleBus takes what send sent. It does not block.
func (j *Jobs) HandleBus(body []byte) {
	var m message
	if err := json.Unmarshal(body, &m); err != nil {
		j.config.Logger.Warn("message about a job dropped", "error", err)
		return
	}
	j.handle(m)
}

func (j *Jobs) handle(m message) {
	if m.Status != "" {
		j.deliver(m.ID, m.Status, m.Data)
		return
	}
	for _, who := range j.waiters.of(m.ID) {
		who.Push(m.Event, m.Data)
	}
}

// deliver hands an answer to all who asked for it here. Where none of them is
// left, those who stand by go on doing so.
func (j *Jobs) deliver(id int64, status string, response json.RawMessage) {
	key, asked, standbys := j.waiters.take(id)
	delivered := false
	for _, who := range asked {
		if who.Answer(Answer{Key: key, Status: status, Response: response}) {
			delivered = true
			j.metrics.latency.Observe(time.Since(who.at).Seconds())
		}
	}
	if delivered {
		j.mark(id)
		return
	}
	for _, who := range standbys {
		j.waiters.standBy(id, key, who)
	}
}

// Left forgets a channel that has ended. What it waits for stays stored.
func (j *Jobs) Left(channel any) { j.waiters.leave(channel) }

// Lost says that notifications may have been lost.
func (j *Jobs) Lost() { j.sweepSoon() }
