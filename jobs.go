package trunkline

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/trunkline/trunkline/internal/history"
	"github.com/trunkline/trunkline/internal/jobs"
	"github.com/trunkline/trunkline/internal/jobs/webhook"
	"github.com/trunkline/trunkline/internal/pubsub"
	"github.com/trunkline/trunkline/internal/realtime"
)

// Queues that every installation has, with how many of their jobs a node runs
// at once: 50, 4, 20 and 2.
const (
	QueueDefault     = jobs.QueueDefault
	QueueHeavy       = jobs.QueueHeavy
	QueueWebhooks    = jobs.QueueWebhooks
	QueueMaintenance = jobs.QueueMaintenance
)

// JobsOptions of a Server. Zero values take the defaults.
type JobsOptions struct {
	// Workers adds the application's River workers.
	Workers func(*river.Workers)
	// Queues adds queues, or changes how many jobs of one this node runs at once;
	// 0 runs none of them here.
	Queues map[string]int
	// Timeout of a job whose worker sets none. Default 30 s.
	Timeout time.Duration
	// RescueAfter is how long a job must have run before its node counts as dead
	// and it is tried again, within half a minute more: at least Timeout. Where a
	// worker's own timeout is longer, River waits for that. Default: two minutes,
	// or twice Timeout if that is more. The same on all nodes.
	RescueAfter time.Duration
	// Retention is how long an answer waits for its client, and a key for its
	// repeat. Default 24 h.
	Retention time.Duration
	// Requester names who may have an answer when the connection that asked for
	// it is gone. Default: Socket.ID.
	Requester func(*Socket) string

	// Webhooks are the endpoints that Server.Webhook and the SQL function webhook
	// post to, by name. A node without any leaves their jobs to others. Give a
	// name to all nodes within 10 minutes of its first use.
	Webhooks map[string]WebhookEndpoint
	// WebhookRetries is the wait after the first attempt, after the second and so
	// on, each made up to a tenth longer; the attempt after the last wait is the
	// last one. Default, as Standard Webhooks recommends: 5 s, 5 min, 30 min, 2 h,
	// 5 h, 10 h, 14 h, 20 h, 24 h.
	WebhookRetries []time.Duration
}

// Jobs sets up background work on River. Call it before Run, at most once.
// Without it a node runs only Trunkline's own maintenance.
func (s *Server) Jobs(o JobsOptions) {
	if s.jobsOptions != nil {
		panic("trunkline: Jobs was called twice")
	}
	if o.Requester == nil {
		o.Requester = (*Socket).ID
	}
	s.jobsOptions = &o
}

// Errors of Offload that HandleIn's caller may see in logs.
var (
	// ErrNoJobs: Server.Jobs was not called, or the server does not run yet.
	ErrNoJobs = errors.New("no jobs: call Server.Jobs before Run")
	// ErrDuplicateJob: a unique job (river.UniqueOpts) that exists already cannot
	// answer another push.
	ErrDuplicateJob = jobs.ErrDuplicate
)

// Job is background work that answers a push.
type Job struct {
	// Args and Opts are River's. Opts may be nil; unless it or Args say otherwise
	// the job is tried three times.
	Args river.JobArgs
	Opts *river.InsertOpts
	// Event, unless empty, publishes a message with Payload on the channel's
	// topic, which must be durable.
	Event   string
	Payload any
	// Tx adds the application's own rows; may be nil. A Reject it returns is
	// answered to the client, any other error crashes the channel.
	Tx func(context.Context, pgx.Tx) error
	// Acknowledge answers the push at once with {"key": ...}. The job's answer
	// then comes as the event job_reply, as it does to a client that has lost its
	// connection meanwhile.
	Acknowledge bool
}

// Offload has a job answer the push. Message, rows and job commit together. The
// worker's answer (JobRef.Reply) goes to the push's ref, whichever node works
// it; a job that failed for good, timed out or was cancelled is answered with
// status "error".
//
// The push may carry "key", a string of at most 255 bytes: a repeat with the
// same key gets the first one's answer and queues nothing, for
// JobsOptions.Retention. Where the client has lost its connection, it gets the
// answer when it joins the topic again: as event job_reply with
// {"key", "status", "response"}. Docs: docs/protocol.md.
func Offload(job Job) Reply { return Reply{job: &job} }

// JobRef is how a worker reaches the client whose push waits for its job. It
// may be used from any goroutine until the worker returns.
type JobRef struct{ ref *jobs.Ref }

// JobRefFrom returns the ref of the job whose River worker got ctx, false when
// no push waits for it.
func JobRefFrom(ctx context.Context) (*JobRef, bool) {
	ref := jobs.RefOf(ctx)
	return &JobRef{ref}, ref != nil
}

// Reply sets the answer. It is sent when the worker returns nil, or cancels the
// job (river.JobCancel); an attempt that fails is tried again and may answer
// anew. Without it the answer is OK(nil).
func (r *JobRef) Reply(reply Reply) error {
	encoded, err := reply.encode()
	switch {
	case err != nil:
		return err
	case encoded.Status == "" || encoded.Response.Binary:
		return errors.New("the answer of a job: want OK, Fail or Status, and JSON")
	}
	return r.ref.Reply(encoded.Status, encoded.Response.Data)
}

// Push sends an event to the client that waits, such as progress: at most once,
// and not to one that is away.
func (r *JobRef) Push(ctx context.Context, event string, payload any) error {
	p, err := encode(payload)
	if err != nil {
		return err
	}
	if p.Binary {
		return errors.New("the event of a job: want JSON")
	}
	return r.ref.Push(ctx, event, p.Data)
}

// Request returns the topic and the key of the push.
func (r *JobRef) Request(ctx context.Context) (topic, key string, err error) {
	return r.ref.Request(ctx)
}

// Enqueue queues a job that no client waits for.
func (s *Server) Enqueue(ctx context.Context, args river.JobArgs, opts *river.InsertOpts) (*rivertype.JobInsertResult, error) {
	j := s.jobs.Load()
	if j == nil {
		return nil, ErrNoJobs
	}
	return j.Client().Insert(ctx, args, opts)
}

// EnqueueTx is Enqueue as a part of the application's transaction.
func (s *Server) EnqueueTx(ctx context.Context, tx pgx.Tx, args river.JobArgs, opts *river.InsertOpts) (*rivertype.JobInsertResult, error) {
	j := s.jobs.Load()
	if j == nil {
		return nil, ErrNoJobs
	}
	return j.Client().InsertTx(ctx, tx, args, opts)
}

// riverConnections is what River may use: for fetching, completing and leading,
// and one that listens.
const (
	riverConnections = 4
	riverListener    = 1
)

// maintenance is what one node of the cluster does now and then.
func (s *Server) maintenance(h *history.History) []jobs.Task {
	return []jobs.Task{
		{Name: "history_partitions", Every: time.Minute, Timeout: 10 * time.Minute, Run: h.Maintain},
		{Name: "history_trim", Every: 10 * time.Minute, Timeout: 10 * time.Minute, Run: h.Trim},
		{Name: "large_messages_expire", Every: time.Minute, Run: func(ctx context.Context) error {
			return pubsub.ExpireSpilled(ctx, s.pool, s.cfg.Schema)
		}},
	}
}

// newJobs makes the node's River client.
func (s *Server) newJobs(hist *history.History, webhooks *webhook.Worker) (*jobs.Jobs, error) {
	config := jobs.Config{
		Webhooks:     webhooks,
		Tasks:        s.maintenance(hist),
		Pool:         s.pool,
		RiverPool:    s.riverPool,
		Schema:       s.cfg.Schema,
		Bus:          s.bus,
		Connections:  s.cfg.connections(),
		StartTimeout: s.cfg.StartTimeout,
		StopTimeout:  s.cfg.DrainTimeout,
		Logger:       s.cfg.Logger,
		Registerer:   s.registerer,
	}
	if o := s.jobsOptions; o != nil {
		config.Queues, config.Timeout, config.RescueAfter, config.Retention = o.Queues, o.Timeout, o.RescueAfter, o.Retention
		config.Workers = river.NewWorkers()
		if o.Workers != nil {
			o.Workers(config.Workers)
		}
	}
	return jobs.New(config)
}

// offload queues the job that a push is to be answered by, and returns what is
// answered at once.
func (h *handler) offload(ctx context.Context, c *realtime.Channel, job *Job, key string) (Reply, error) {
	j := h.srv.jobs.Load()
	if j == nil || h.srv.jobsOptions == nil {
		return NoReply, ErrNoJobs
	}
	if key == "" {
		key = rand.Text()
	}
	request := jobs.Request{
		Topic:     c.Topic(),
		Requester: h.srv.jobsOptions.Requester(&h.socket),
		Key:       key,
		Args:      job.Args,
		Opts:      job.Opts,
		Waiter:    laterWaiter{c},
		Tx: func(ctx context.Context, tx pgx.Tx) error {
			if job.Tx != nil {
				if err := job.Tx(ctx, tx); err != nil {
					return err
				}
			}
			if job.Event == "" {
				return nil
			}
			return h.srv.PublishTx(ctx, tx, c.Topic(), job.Event, job.Payload)
		},
	}
	if ref, err := c.Ref(); err == nil && !job.Acknowledge {
		request.Waiter = refWaiter{ref, c}
	}
	err := j.Offload(ctx, request)
	var rejection *rejection
	switch {
	case err == nil && job.Acknowledge:
		return OK(map[string]any{"key": key}), nil
	case err == nil, errors.Is(err, jobs.ErrUnknownOutcome):
		return NoReply, nil
	case errors.As(err, &rejection):
		return Fail(rejection.response), nil
	}
	for _, known := range []error{jobs.ErrUnavailable, jobs.ErrTooMany, jobs.ErrKey, jobs.ErrName} {
		if errors.Is(err, known) {
			c.Log().Warn("job not queued", "error", err)
			return failReason("%v", known), nil
		}
	}
	return NoReply, err
}

// keyOfPush is the key of a push whose job is to be queued.
func keyOfPush(ctx context.Context, p Payload) (string, error) {
	if k, ok := ctx.Value(keyOfContext{}).(*pushKey); ok {
		return k.key, nil // of a durable topic, taken out already
	}
	_, key, err := takeKey(p)
	return key, err
}

// maxJobKeys bounds the keys in a join's parameters.
const maxJobKeys = 1000

// claim has a client that joins get what jobs of earlier connections answered.
func (h *handler) claim(c *realtime.Channel, params Payload) error {
	j := h.srv.jobs.Load()
	if j == nil || h.srv.jobsOptions == nil {
		return nil
	}
	var p struct {
		Keys []string `json:"job_keys"`
	}
	if data := params.p.Data; !params.p.Binary && len(data) > 0 && data[0] == '{' {
		if err := params.Decode(&p); err != nil {
			return badJoin("bad join parameters: job_keys is a list of strings")
		}
	}
	if len(p.Keys) > maxJobKeys {
		return badJoin("job_keys has %d keys: want at most %d", len(p.Keys), maxJobKeys)
	}
	j.Claim(jobs.Claim{
		Topic: c.Topic(), Requester: h.srv.jobsOptions.Requester(&h.socket), Keys: p.Keys, Waiter: laterWaiter{c},
	})
	return nil
}

// refWaiter answers a push through its ref.
type refWaiter struct {
	ref     realtime.Ref
	channel *realtime.Channel
}

func (w refWaiter) Channel() any { return w.channel }

func (w refWaiter) Answer(a jobs.Answer) bool {
	return w.ref.Reply(realtime.Reply{Status: a.Status, Response: realtime.Payload{Data: a.Response}}) == nil
}

func (w refWaiter) Push(event string, payload json.RawMessage) { pushData(w.channel, event, payload) }

// laterWaiter answers by an event, through the channel's mailbox: the channel
// may still be joining.
type laterWaiter struct{ channel *realtime.Channel }

func (w laterWaiter) Channel() any { return w.channel }

func (w laterWaiter) Answer(a jobs.Answer) bool {
	if err := w.channel.Send(&jobReply{Key: a.Key, Status: a.Status, Response: a.Response}); err != nil {
		w.channel.Log().Warn("answer of a job not delivered", "error", err)
		return false
	}
	return true
}

func (w laterWaiter) Push(event string, payload json.RawMessage) {
	pushData(w.channel, event, payload)
}

func pushData(c *realtime.Channel, event string, payload json.RawMessage) {
	if err := c.Push(event, realtime.Payload{Data: payload}); err != nil && !errors.Is(err, ErrNotJoined) {
		c.Log().Warn("event of a job not pushed", "error", err)
	}
}

// jobReply is the payload of the event job_reply.
type jobReply struct {
	Key      string          `json:"key"`
	Status   string          `json:"status"`
	Response json.RawMessage `json:"response"`
}
