package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/riverqueue/river"

	"github.com/trunkline/trunkline/internal/dbsqlc"
)

// offloadTimeout bounds the transaction of one request.
const offloadTimeout = 5 * time.Second

// replyMetadata is the key of a job's metadata that names its reply.
const replyMetadata = "trunkline_reply"

// offloadAttempts is how often a job that somebody waits for is tried, unless
// it says so itself: after 1 s and 16 s.
const offloadAttempts = 3

// A Request is a push that a job is to answer.
type Request struct {
	Topic     string
	Requester string
	Key       string
	Args      river.JobArgs
	Opts      *river.InsertOpts
	// Tx adds to the transaction; may be nil. Its error is returned as it is.
	Tx     func(context.Context, pgx.Tx) error
	Waiter Waiter
}

// TxError is the error of Request.Tx.
type TxError struct{ Err error }

func (e *TxError) Error() string { return e.Err.Error() }
func (e *TxError) Unwrap() error { return e.Err }

// Offload queues the job of a request and has its answer go to the waiter. The
// repeat of a request queues nothing and gets the first one's answer.
func (j *Jobs) Offload(ctx context.Context, r Request) error {
	switch {
	case len(r.Key) > MaxKeyBytes:
		return ErrKey
	case len(r.Topic)+len(r.Requester) > MaxNameBytes:
		return ErrName
	}
	ctx, cancel := context.WithTimeout(ctx, offloadTimeout)
	defer cancel()
	tx, err := j.config.Pool.Begin(ctx)
	if err != nil {
		return unavailable("beginning", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	ids, err := j.queries.ReserveReply(ctx, j.schema.In(tx), dbsqlc.ReserveReplyParams{
		Topic: r.Topic, Requester: r.Requester, Key: r.Key, Node: j.config.Bus.ID(),
	})
	switch {
	case err != nil:
		return unavailable("reserving the reply", err)
	case len(ids) == 0:
		_ = tx.Rollback(ctx) // not to hold two connections
		return j.askAgain(ctx, r)
	}
	id := ids[0]
	// Before the commit: the answer may be quick.
	if err := j.waiters.ask(id, r.Key, r.Waiter); err != nil {
		return err
	}
	err = j.insert(ctx, tx, id, r)
	if err != nil && !errors.Is(err, ErrUnknownOutcome) {
		j.waiters.take(id)
	}
	return err
}

// insert does the rest of the transaction. The job comes last: it takes the
// queue's notification slot, which others wait for until the commit.
func (j *Jobs) insert(ctx context.Context, tx pgx.Tx, id int64, r Request) error {
	if r.Tx != nil {
		if err := r.Tx(ctx, tx); err != nil {
			return &TxError{err}
		}
	}
	opts, err := withReply(r.Args, r.Opts, id)
	if err != nil {
		return err
	}
	job, err := j.client.InsertTx(ctx, tx, r.Args, opts)
	switch {
	case err != nil && ctx.Err() == nil && !isDatabase(err):
		return fmt.Errorf("inserting the job: %w", err) // the application's mistake
	case err != nil:
		return unavailable("inserting the job", err)
	case job.UniqueSkippedAsDuplicate:
		return ErrDuplicate
	}
	if err := j.queries.SetReplyJob(ctx, j.schema.In(tx), dbsqlc.SetReplyJobParams{ID: id, JobID: job.Job.ID}); err != nil {
		return unavailable("naming the job", err)
	}
	if err := tx.Commit(ctx); err != nil {
		var refused *pgconn.PgError
		if errors.As(err, &refused) || errors.Is(err, pgx.ErrTxCommitRollback) || pgconn.SafeToRetry(err) {
			return unavailable("committing", err)
		}
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
	return nil
}

// askAgain gives a repeated request the answer of the first one.
func (j *Jobs) askAgain(ctx context.Context, r Request) error {
	rows, err := j.queries.AskAgain(ctx, j.schema.In(j.config.Pool), dbsqlc.AskAgainParams{
		Topic: r.Topic, Requester: r.Requester, Key: r.Key, Node: j.config.Bus.ID(),
	})
	switch {
	case err != nil:
		return unavailable("asking again", err)
	case len(rows) == 0: // its retention has just ended
		return unavailable("asking again", pgx.ErrNoRows)
	}
	row := rows[0]
	if err := j.waiters.ask(row.ID, r.Key, r.Waiter); err != nil {
		return err
	}
	if row.Status != "" {
		j.deliver(row.ID, row.Status, json.RawMessage(row.Response))
		return nil
	}
	j.sweepSoon() // it may have been answered a moment ago
	return nil
}

// withReply adds the reply's id to the metadata.
func withReply(args river.JobArgs, given *river.InsertOpts, id int64) (*river.InsertOpts, error) {
	var opts river.InsertOpts
	if given != nil {
		opts = *given
	}
	metadata := map[string]json.RawMessage{}
	if len(opts.Metadata) > 0 {
		if err := json.Unmarshal(opts.Metadata, &metadata); err != nil {
			return nil, fmt.Errorf("the job's metadata: want a JSON object: %w", err)
		}
	}
	metadata[replyMetadata] = fmt.Append(nil, id)
	encoded, err := json.Marshal(metadata)
	if err != nil {
		return nil, fmt.Errorf("the job's metadata: %w", err)
	}
	opts.Metadata = encoded
	own, ok := args.(river.JobArgsWithInsertOpts)
	if opts.MaxAttempts == 0 && (!ok || own.InsertOpts().MaxAttempts == 0) {
		opts.MaxAttempts = offloadAttempts
	}
	return &opts, nil
}

// replyOf reads what withReply wrote, 0 for none.
func replyOf(metadata []byte) int64 {
	var m struct {
		Reply int64 `json:"trunkline_reply"`
	}
	_ = json.Unmarshal(metadata, &m) // River's own rule: an object
	return m.Reply
}

func unavailable(doing string, err error) error {
	return fmt.Errorf("%w: %s: %w", ErrUnavailable, doing, err)
}

// isDatabase tells the database's failures from refusals of River's client.
func isDatabase(err error) bool {
	var refused *pgconn.PgError
	var lost *pgconn.ConnectError
	return errors.As(err, &refused) || errors.As(err, &lost) || pgconn.Timeout(err) || pgconn.SafeToRetry(err) ||
		errors.Is(err, pgx.ErrTxClosed)
}
