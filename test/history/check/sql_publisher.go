package main

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trunkline/trunkline/test/harness"
	"github.com/trunkline/trunkline/test/history/verify"
)

const (
	sqlTimeout = 5 * time.Second // of each statement
	holdOpen   = 2 * time.Second
	sqlMost    = 20_000 // characters
	sqlTopics  = 4      // in one transaction, at most
)

// An sqlPublisher publishes in transactions over several topics, as any client
// of Postgres may.
type sqlPublisher struct {
	name   string
	url    string
	topics []string
	every  time.Duration // for one message
	record *recorder
	counts *counts

	number int
	conn   *pgx.Conn // nil between two connections
}

// A transaction is what one transaction publishes, and how it is to end.
type transaction struct {
	drafts []draft
	keyed  bool
	held   bool
	ending ending
}

type ending int

const (
	commit ending = iota
	rollback
	rollbackByError
	rollbackToSavepoint // and commit what was before it
)

// run makes transactions until stop ends, then finishes the last, until ctx
// ends.
func (p *sqlPublisher) run(ctx, stop context.Context) {
	defer p.disconnect()
	for messages := 1; ; {
		every := p.every * time.Duration(messages)
		if !harness.Pause(stop, between(every/2, every*3/2)) {
			return
		}
		tx := p.compose()
		messages = len(tx.drafts)
		p.publish(ctx, tx)
	}
}

func (p *sqlPublisher) compose() transaction {
	tx := transaction{keyed: oneIn(2), held: oneIn(10)}
	if oneIn(8) {
		tx.ending = rollback + ending(rand.IntN(3))
	}
	for range 1 + rand.IntN(sqlTopics) {
		event := eventMessage
		if oneIn(2) {
			event = eventChange
		}
		tx.drafts = append(tx.drafts, newDraft(p.name, p.number, pick(p.topics), event, sqlMost))
		p.number++
	}
	return tx
}

// publish makes the transaction and records what became of it. One with keys
// whose outcome was lost is made again, until it is known.
func (p *sqlPublisher) publish(ctx context.Context, tx transaction) {
	lost := false // an earlier outcome
	for {
		outcome := p.try(ctx, tx)
		switch {
		case outcome == verify.Committed:
			p.add(tx, verify.Committed)
			return
		case outcome == verify.RolledBack && !lost:
			p.add(tx, verify.RolledBack)
			return
		case !tx.keyed:
			p.add(tx, verify.Unknown)
			return
		}
		lost = true
		p.counts.repeats.Add(1)
		if !harness.Pause(ctx, between(retryLeast, retryMost)) {
			p.add(tx, verify.Unanswered)
			return
		}
	}
}

// add records the messages: with a savepoint, all but the first were rolled
// back whatever became of the rest.
func (p *sqlPublisher) add(tx transaction, outcome verify.Outcome) {
	for i, d := range tx.drafts {
		of := outcome
		if tx.ending == rollbackToSavepoint && i > 0 {
			of = verify.RolledBack
		}
		p.record.add(bySQL, d.publish(p.name, of, 0))
	}
}

// try makes the transaction once. Whatever goes wrong before COMMIT was sent
// rolls it back.
func (p *sqlPublisher) try(ctx context.Context, tx transaction) verify.Outcome {
	if !p.connected(ctx) {
		return verify.RolledBack
	}
	if err := p.statements(ctx, tx); err != nil {
		p.disconnect() // a held link would keep it open
		return verify.RolledBack
	}
	if tx.ending == rollback || tx.ending == rollbackByError {
		if p.exec(ctx, "rollback") != nil {
			p.disconnect()
		} else {
			p.counts.rollbacks.Add(1)
		}
		return verify.RolledBack
	}
	err := p.exec(ctx, "commit")
	if err == nil {
		return verify.Committed
	}
	p.disconnect()
	// An error of the transaction, as opposed to the end of its session, which
	// may come after it has committed.
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.Severity == "ERROR" {
		return verify.RolledBack
	}
	return verify.Unknown
}

func (p *sqlPublisher) statements(ctx context.Context, tx transaction) error {
	if err := p.exec(ctx, "begin"); err != nil {
		return err
	}
	for i, d := range tx.drafts {
		if i == 1 && tx.ending == rollbackToSavepoint {
			if err := p.exec(ctx, "savepoint s"); err != nil {
				return err
			}
		}
		payload, err := json.Marshal(object{"body": d.text, "n": rand.Uint64(), "list": []any{1.5, nil, true}, "nested": object{"z": 1, "a": object{}}})
		if err != nil {
			return err
		}
		var key any
		if tx.keyed {
			key = d.key
		}
		if err := p.exec(ctx, `select trunkline.publish($1, $2, $3::jsonb, $4)`, d.topic, d.event, string(payload), key); err != nil {
			return err
		}
	}
	if tx.held && !harness.Pause(ctx, holdOpen) {
		return ctx.Err()
	}
	switch tx.ending {
	case rollbackToSavepoint:
		if len(tx.drafts) > 1 {
			return p.exec(ctx, "rollback to savepoint s")
		}
	case rollbackByError:
		if p.exec(ctx, "select 1/0") == nil {
			return errors.New("1/0 was no error")
		}
	case commit, rollback:
	}
	return nil
}

func (p *sqlPublisher) exec(ctx context.Context, statement string, arguments ...any) error {
	ctx, cancel := context.WithTimeout(ctx, sqlTimeout)
	defer cancel()
	_, err := p.conn.Exec(ctx, statement, arguments...)
	return err
}

func (p *sqlPublisher) connected(ctx context.Context) bool {
	if p.conn != nil && !p.conn.IsClosed() {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, sqlTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.url)
	if err != nil {
		return false
	}
	p.conn = conn
	return true
}

func (p *sqlPublisher) disconnect() {
	if p.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = p.conn.Close(ctx) // it is given up
	p.conn = nil
}
