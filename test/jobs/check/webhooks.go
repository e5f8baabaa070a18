package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trunkline/trunkline/test/harness"
)

const (
	webhooksTopic   = "shop:webhooks"
	webhooksTimeout = 40 * time.Second
	// webhookTimeout is of an attempt; the receiver hangs for longer.
	webhookTimeout = 2 * time.Second
	// webhookSlack is how much later than planned an attempt may come: River polls
	// four times a second, and the machine is busy.
	webhookSlack = 3 * time.Second
)

// webhookRetries are the waits after each attempt: so one more attempt than these.
var webhookRetries = []time.Duration{
	200 * time.Millisecond, 300 * time.Millisecond, 500 * time.Millisecond, 800 * time.Millisecond, 1200 * time.Millisecond,
}

// A delivered endpoint of the receiver, and what should become of an event.
type delivered struct {
	name     string
	script   []reaction // the last is repeated
	attempts int
	state    string // of the job in the end
	private  bool   // refused, as the address is private
}

// endpoints of the phase. All of them are on this machine, so in a private
// network.
func endpoints() []delivered {
	return []delivered{
		{name: "well", script: []reaction{{status: 200}}, attempts: 1, state: "completed"},
		{name: "recovers", attempts: 5, state: "completed", script: []reaction{
			{status: 500}, {hang: true}, {status: 302}, {drop: true}, {status: 204},
		}},
		{name: "dead", script: []reaction{{status: 503}}, attempts: len(webhookRetries) + 1, state: "discarded"},
		{name: "gone", script: []reaction{{status: 410}}, attempts: 1, state: "cancelled"},
		{name: "private", script: []reaction{{status: 200}}, attempts: 0, state: "cancelled", private: true},
	}
}

// webhooks has events posted to a receiver that fails, hangs, redirects, closes
// the connection and recovers: by the server for a push, and by the SQL function
// in transactions, one of which is rolled back.
func webhooks(ctx context.Context, s *scenario) error {
	r, err := newReceiver()
	if err != nil {
		return err
	}
	defer r.close()
	var urls, private []string
	for _, e := range endpoints() {
		r.scripts[e.name] = e.script
		urls = append(urls, e.name+"=http://"+r.host(e.private)+"/"+e.name)
		if !e.private {
			private = append(private, e.name)
		}
	}
	retries := strings.Trim(strings.ReplaceAll(fmt.Sprint(webhookRetries), " ", ","), "[]")
	n, err := s.start(ctx, "a", "WEBHOOKS="+strings.Join(urls, ";"), "WEBHOOK_ALLOW_PRIVATE="+strings.Join(private, ","),
		"WEBHOOK_SECRET="+r.secret, "WEBHOOK_TIMEOUT="+webhookTimeout.String(), "WEBHOOK_RETRIES="+retries)
	if err != nil {
		return err
	}
	c, err := s.dial(ctx, n, newUser("ann"), webhooksTopic)
	if err != nil {
		return err
	}
	defer c.close()

	jobs := map[int64]delivered{}
	for _, e := range endpoints() {
		id, err := s.notify(ctx, c, e.name)
		if err != nil {
			return err
		}
		jobs[id] = e
	}
	if err := s.notifyBySQL(ctx, "well", true); err != nil {
		return err
	}
	if err := s.notifyBySQL(ctx, "well", false); err != nil {
		return err
	}
	err = s.await(ctx, webhooksTimeout, "all webhooks are done",
		"select not exists (select from trunkline.river_job where kind = 'trunkline_webhook' and finalized_at is null)")
	if err != nil {
		s.judge.add(s.phase, kindWebhook, "%v", err)
	}
	harness.Pause(ctx, linger)
	for id, e := range jobs {
		var state string
		if err := s.db.QueryRow(ctx, "select state::text from trunkline.river_job where id = $1", id).Scan(&state); err != nil {
			return err
		}
		if state != e.state {
			s.judge.add(s.phase, kindWebhook, "%s: its job is %s, want %s", e.name, state, e.state)
		}
		s.judge.deliveries(s.phase, e, r.deliveriesTo(fmt.Sprintf("%s by push", e.name)))
	}
	well := endpoints()[0]
	s.judge.deliveries(s.phase, well, r.deliveriesTo("well by SQL, committed"))
	s.judge.count(s.phase, "deliveries of a transaction that was rolled back", len(r.deliveriesTo("well by SQL, rolled back")), 0)
	for _, complaint := range r.allComplaints() {
		s.judge.add(s.phase, kindWebhook, "%s", complaint)
	}
	s.note("%d requests to %d endpoints", r.requests(), len(endpoints()))
	return s.counts(ctx, []counted{
		{"webhooks", "select count(*) from trunkline.river_job where kind = 'trunkline_webhook'", len(endpoints()) + 1},
		{"dead letters", "select count(*) from trunkline.river_job where kind = 'trunkline_webhook' and state = 'discarded'", 1},
	})
}

// notify has the server post an event, and returns the job's id.
func (s *scenario) notify(ctx context.Context, c *socket, endpoint string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	p, err := c.ask(ctx, webhooksTopic, "notify", object{"endpoint": endpoint, "data": object{"event": endpoint + " by push"}})
	if err != nil {
		return 0, err
	}
	a, err := p.await(ctx)
	if err != nil {
		return 0, err
	}
	id, ok := a.field("job").(float64)
	if !ok {
		return 0, fmt.Errorf("the webhook was not queued: %v", a)
	}
	return int64(id), nil
}

// notifyBySQL has an application's transaction post one.
func (s *scenario) notifyBySQL(ctx context.Context, endpoint string, commit bool) error {
	tx, err := s.db.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // after Commit it is one
	event, end := endpoint+" by SQL, rolled back", pgx.Tx.Rollback
	if commit {
		event, end = endpoint+" by SQL, committed", pgx.Tx.Commit
	}
	if _, err := tx.Exec(ctx, "select trunkline.webhook($1, 'order.shipped', jsonb_build_object('event', $2::text))", endpoint, event); err != nil {
		return err
	}
	return end(tx, ctx)
}

// deliveries compares the attempts at one event with what they should have been.
func (j *judge) deliveries(phase string, e delivered, got []delivery) {
	if len(got) != e.attempts {
		j.add(phase, kindWebhook, "%s: %d attempts, want %d", e.name, len(got), e.attempts)
	}
	for i, d := range got[min(1, len(got)):] {
		wait, planned := d.at.Sub(got[i].ended), webhookRetries[min(i, len(webhookRetries)-1)]
		if got[i].id != d.id {
			j.add(phase, kindWebhook, "%s: attempt %d has another webhook-id", e.name, i+2)
		}
		if wait < planned || wait > planned*11/10+webhookSlack {
			j.add(phase, kindWebhook, "%s: attempt %d came after %v, want %v", e.name, i+2, wait.Round(time.Millisecond), planned)
		}
	}
}
