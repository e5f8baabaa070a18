package jobs

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/trunkline/trunkline/internal/dbsqlc"
)

const (
	sweepTick    = 100 * time.Millisecond
	sweepTimeout = 10 * time.Second
	// sweepEvery is how often answers are looked for that no notification told
	// of; leftEvery how often those are that nobody took, while somebody stands by.
	sweepEvery = 5 * time.Second
	leftEvery  = 200 * time.Millisecond
	// leftAfter is how long who asked has to take the answer first.
	leftAfter = 400 * time.Millisecond
	// sweepAtMost bounds a statement's array.
	sweepAtMost = 5000
)

// sweepSoon has the next tick look for answers.
func (j *Jobs) sweepSoon() { j.soon.Store(true) }

// mark remembers that an answer was handed to a client.
func (j *Jobs) mark(id int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.delivered = append(j.delivered, id)
}

// sweep does what delivery needs of the database, until ctx ends.
func (j *Jobs) sweep(ctx context.Context) {
	ticker := time.NewTicker(sweepTick)
	defer ticker.Stop()
	var swept, left time.Time
	for {
		select {
		case <-ctx.Done():
			j.flush(ctx)
			return
		case <-ticker.C:
		}
		j.flush(ctx)
		if j.soon.Swap(false) || time.Since(swept) > sweepEvery {
			swept = time.Now()
			j.findAnswers(ctx)
		}
		if j.waiters.standingBy() && time.Since(left) > leftEvery {
			left = time.Now()
			j.takeLeft(ctx)
		}
	}
}

// flush marks what was delivered, also at the end; on failure it stays to be
// marked.
func (j *Jobs) flush(ctx context.Context) {
	j.mu.Lock()
	ids := j.delivered
	j.delivered = nil
	j.mu.Unlock()
	if len(ids) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sweepTimeout)
	defer cancel()
	if err := j.queries.MarkDelivered(ctx, j.schema.In(j.config.Pool), ids); err != nil {
		j.config.Logger.Warn("answers not marked as delivered, trying again", "error", err)
		j.mu.Lock()
		j.delivered = append(ids, j.delivered...)
		j.mu.Unlock()
	}
}

func (j *Jobs) findAnswers(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	asked, _ := j.waiters.ids()
	for ids := range slices.Chunk(asked, sweepAtMost) {
		rows, err := j.queries.AnswersOf(ctx, j.schema.In(j.config.Pool), ids)
		if err != nil {
			j.config.Logger.Warn("answers of jobs not looked for, trying again", "error", err)
			j.sweepSoon()
			return
		}
		for _, row := range rows {
			j.deliver(row.ID, row.Status, json.RawMessage(row.Response))
		}
	}
}

// takeLeft gives answers that nobody took to one of those who stand by.
func (j *Jobs) takeLeft(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	_, standby := j.waiters.ids()
	for ids := range slices.Chunk(standby, sweepAtMost) {
		rows, err := j.queries.TakeLeftAnswers(ctx, j.schema.In(j.config.Pool), dbsqlc.TakeLeftAnswersParams{
			Ids: ids, AfterSeconds: leftAfter.Seconds(),
		})
		if err != nil {
			j.config.Logger.Warn("answers that nobody took were not looked for, trying again", "error", err)
			return
		}
		var returned []int64
		for _, row := range rows {
			key, _, standbys := j.waiters.take(row.ID)
			if !slices.ContainsFunc(standbys, func(who Waiter) bool {
				return who.Answer(Answer{Key: key, Status: row.Status, Response: json.RawMessage(row.Response)})
			}) {
				returned = append(returned, row.ID)
			}
		}
		if len(returned) == 0 {
			continue
		}
		if err := j.queries.ReturnAnswers(ctx, j.schema.In(j.config.Pool), returned); err != nil {
			j.config.Logger.Warn("answers taken for clients that are gone were not returned", "error", err)
		}
	}
}
