package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/trunkline/trunkline/internal/dbsqlc"
)

const (
	claimBatch   = 500
	claimTimeout = 10 * time.Second
	// maxClaims is how many joins may wait to be asked about. Later ones are not
	// asked about: their clients repeat what they wait for, or join again.
	maxClaims = 20_000
	// maxUnclaimed bounds what one batch finds.
	maxUnclaimed = 10_000
	claimRetry   = time.Second
)

// A Claim is a join of a client that may have asked for something before, on
// another connection.
type Claim struct {
	Topic     string
	Requester string
	// Keys are what the client says it waits for. Nil where it says nothing: it
	// then gets what no other channel took.
	Keys   []string
	Waiter Waiter
}

// claims asks the database for what joining clients are owed: all joins that
// wait meanwhile in one batch.
type claims struct {
	jobs *Jobs

	mu      sync.Mutex
	pending []Claim
	rung    chan struct{} // made by run
	full    bool
}

// Claim has the client get what is owed to it, soon. It does not block.
func (j *Jobs) Claim(c Claim) {
	if (c.Keys == nil && c.Requester == "") || (c.Keys != nil && len(c.Keys) == 0) {
		return
	}
	j.claims.add(c)
}

func (c *claims) add(claim Claim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pending) >= maxClaims {
		if !c.full {
			c.jobs.config.Logger.Warn("too many clients join: some are not told of answers that wait for them", "limit", maxClaims)
		}
		c.full = true
		return
	}
	c.full = false
	c.pending = append(c.pending, claim)
	if c.rung != nil {
		select {
		case c.rung <- struct{}{}:
		default:
		}
	}
}

func (c *claims) run(ctx context.Context) {
	rung := make(chan struct{}, 1)
	rung <- struct{}{}
	c.mu.Lock()
	c.rung = rung
	c.mu.Unlock()
	for {
		select {
		case <-rung:
		case <-ctx.Done():
			return
		}
		for batch := c.next(); len(batch) > 0; batch = c.next() {
			if err := c.work(ctx, batch); err != nil && ctx.Err() == nil {
				c.jobs.config.Logger.Warn("answers for clients that joined were not looked for, trying again", "error", err)
				c.back(batch)
				select {
				case <-time.After(claimRetry):
				case <-ctx.Done():
					return
				}
			}
		}
	}
}

func (c *claims) next() []Claim {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(len(c.pending), claimBatch)
	batch := c.pending[:n:n]
	if c.pending = c.pending[n:]; len(c.pending) == 0 {
		c.pending = nil
	}
	return batch
}

func (c *claims) back(batch []Claim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending = append(batch, c.pending...)
}

func (c *claims) work(ctx context.Context, batch []Claim) error {
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	var named dbsqlc.ClaimNamedParams
	var others dbsqlc.UnclaimedParams
	for i, claim := range batch {
		if claim.Keys == nil {
			others.Topics = append(others.Topics, claim.Topic)
			others.Requesters = append(others.Requesters, claim.Requester)
			others.Numbers = append(others.Numbers, int32(i))
			continue
		}
		for _, key := range claim.Keys {
			named.Topics = append(named.Topics, claim.Topic)
			named.Requesters = append(named.Requesters, claim.Requester)
			named.Keys = append(named.Keys, key)
			named.Numbers = append(named.Numbers, int32(i))
		}
	}
	if len(named.Keys) > 0 {
		if err := c.takeNamed(ctx, batch, named); err != nil {
			return err
		}
	}
	if len(others.Topics) > 0 {
		return c.standBy(ctx, batch, others)
	}
	return nil
}

// takeNamed makes the clients those who wait.
func (c *claims) takeNamed(ctx context.Context, batch []Claim, params dbsqlc.ClaimNamedParams) error {
	j := c.jobs
	params.Node = j.config.Bus.ID()
	rows, err := j.queries.ClaimNamed(ctx, j.schema.In(j.config.Pool), params)
	if err != nil {
		return fmt.Errorf("claiming answers: %w", err)
	}
	for _, row := range rows {
		if err := j.waiters.ask(row.ID, row.Key, batch[row.Number].Waiter); err != nil {
			continue // it waits for as many as it may
		}
		if row.Status != "" {
			j.deliver(row.ID, row.Status, json.RawMessage(row.Response))
		} else {
			j.sweepSoon() // it may have been answered since
		}
	}
	return nil
}

func (c *claims) standBy(ctx context.Context, batch []Claim, params dbsqlc.UnclaimedParams) error {
	j := c.jobs
	params.AtMost = maxUnclaimed
	rows, err := j.queries.Unclaimed(ctx, j.schema.In(j.config.Pool), params)
	if err != nil {
		return fmt.Errorf("looking for unclaimed answers: %w", err)
	}
	for _, row := range rows {
		j.waiters.standBy(row.ID, row.Key, batch[row.Number].Waiter)
	}
	return nil
}
