package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/trunkline/trunkline/test/harness"
	"github.com/trunkline/trunkline/test/history/verify"
)

const (
	// answerTimeout is how long a publisher waits before it repeats: longer than
	// a server waits for Postgres, so that error replies are met, too.
	answerTimeout = 8 * time.Second
	// joinTimeout is how long it waits for all its topics.
	joinTimeout = 15 * time.Second

	clientTopics = 5    // of each publisher
	clientMost   = 4000 // characters that the demo allows
)

// A clientPublisher publishes as a Phoenix client, one message after another,
// and repeats each with its key until it is acknowledged; or every other one
// without its key, once.
type clientPublisher struct {
	name    string
	cluster *cluster
	topics  []string
	every   time.Duration
	record  *recorder
	counts  *counts

	session *session // nil between two connections
}

// A session is a client that has joined the publisher's topics.
type session struct {
	*client
	ended chan struct{}
}

// run publishes until stop ends, then finishes the last message, until ctx ends.
func (p *clientPublisher) run(ctx, stop context.Context) {
	defer p.disconnect()
	for number := 0; harness.Pause(stop, between(p.every/2, p.every*3/2)); number++ {
		d := newDraft(p.name, number, p.topics[rand.IntN(len(p.topics))], eventMessage, clientMost)
		d.once = oneIn(2)
		published := p.publish(ctx, d)
		p.record.add(byClient, published)
		if !d.once && published.Outcome == verify.Committed && oneIn(20) {
			p.publishAgain(ctx, d, published.ID)
		}
	}
}

// publish tries until the message is acknowledged. A message that was answered
// with nothing but errors is given up sometimes.
func (p *clientPublisher) publish(ctx context.Context, d draft) verify.Publish {
	certain := true // that no try got through
	for tries := 0; ; tries++ {
		if tries > 0 {
			p.counts.repeats.Add(1)
			if !harness.Pause(ctx, between(retryLeast, retryMost)) {
				return d.publish(p.name, verify.Unanswered, 0)
			}
		}
		if !p.connected(ctx) {
			continue
		}
		r, err := p.push(d)
		switch {
		case err != nil:
			certain = false
			// It may be the answer alone that is late.
			if !errors.Is(err, errNoReply) || oneIn(2) {
				p.disconnect()
			}
		case r.Status == "ok":
			id, err := idOf(r)
			if err != nil {
				p.record.complain("%s: %v", p.name, err)
			}
			return d.publish(p.name, verify.Committed, id)
		case d.once: // perhaps with an unknown outcome
		default:
			p.counts.refusals.Add(1)
			if certain && oneIn(2) {
				refused := d.publish(p.name, verify.Refused, 0)
				refused.Reason = fmt.Sprintf("try %d: %.200s", tries+1, r.Response)
				return refused
			}
			if oneIn(2) {
				p.disconnect()
			}
		}
		if d.once {
			return d.publish(p.name, verify.Unknown, 0)
		}
	}
}

// publishAgain repeats what was acknowledged: the answer must be the same.
func (p *clientPublisher) publishAgain(ctx context.Context, d draft, id int64) {
	if oneIn(2) {
		p.disconnect() // mostly another node then
	}
	if !p.connected(ctx) {
		return
	}
	r, err := p.push(d)
	if err != nil || r.Status != "ok" {
		return
	}
	if again, err := idOf(r); err != nil || again != id {
		p.record.complain("%s: message %s was acknowledged as %d, and when repeated as %d (%v)", p.name, d.key, id, again, err)
	}
}

func idOf(r reply) (int64, error) {
	var answer struct{ ID int64 }
	if err := r.Into(&answer); err != nil || answer.ID < 1 {
		return 0, fmt.Errorf("a publish was answered with %.100q, no id", r.Response)
	}
	return answer.ID, nil
}

// push publishes once.
func (p *clientPublisher) push(d draft) (reply, error) {
	answers := make(chan reply, 1)
	s := p.session
	payload := object{"body": d.text}
	if !d.once {
		payload["key"] = d.key
	}
	err := s.push(d.topic, d.event, payload, func(r reply) error {
		answers <- r
		return nil
	})
	if err != nil {
		return reply{}, err
	}
	timer := time.NewTimer(answerTimeout)
	defer timer.Stop()
	select {
	case r := <-answers:
		return r, nil
	case <-s.ended:
		return reply{}, context.Cause(s.ctx)
	case <-timer.C:
		return reply{}, errNoReply
	}
}

// connected makes sure that there is a connection with all topics joined.
func (p *clientPublisher) connected(ctx context.Context) bool {
	if p.session != nil {
		select {
		case <-p.session.ended:
			p.session = nil
		default:
			return true
		}
	}
	c, err := dial(ctx, p.cluster.anyAddress(), p.cluster.token, &gate{}, func(m message) error {
		if m.Event == "phx_error" || m.Event == "phx_close" {
			return fmt.Errorf("%s on %s", m.Event, m.Topic)
		}
		return nil
	})
	if err != nil {
		return false
	}
	s := &session{c, make(chan struct{})}
	p.session = s
	joins := make(chan reply, len(p.topics))
	for _, topic := range p.topics {
		c.later(0, func() error {
			return c.push(topic, "phx_join", object{"last": 0}, func(r reply) error {
				joins <- r
				return nil
			})
		})
	}
	go func() { // disconnect waits for it
		_ = c.run() // ctx of the client tells the error
		close(s.ended)
	}()
	timer := time.NewTimer(joinTimeout)
	defer timer.Stop()
	for range p.topics {
		select {
		case r := <-joins:
			if r.Status == "ok" {
				continue
			}
		case <-s.ended:
		case <-timer.C:
		}
		p.disconnect()
		return false
	}
	return true
}

func (p *clientPublisher) disconnect() {
	if p.session == nil {
		return
	}
	_ = p.session.ws.CloseNow() // it may have ended
	<-p.session.ended
	p.session = nil
}
