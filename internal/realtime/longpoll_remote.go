package realtime

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// longPollRequest is what an HTTP request of this node has asked of a session
// on another one.
type longPollRequest struct {
	node    string
	answers chan longPollMessage // room for opAccepted and the answer itself
}

var errNoBus = errors.New("this node has no bus")

// remotePeer is a session of another node. Its client's requests go there over
// the bus, one at a time: first a sign of life within PubSubTimeout, then the
// answer.
type remotePeer struct {
	polls *longPolls
	ref   sessionRef
	opts  LongPollOptions

	number uint64 // of the latest request
}

func (r *remotePeer) poll(ctx context.Context) (pollAnswer, bool) {
	if !r.polls.enter() {
		return pollAnswer{}, false
	}
	defer r.polls.leave()
	answer, outcome := r.ask(ctx, longPollMessage{op: opPoll}, r.opts.Window)
	if outcome == askAnswered {
		a := pollAnswer{status: answer.status}
		if answer.op == opMessages {
			a.status = http.StatusOK
			for _, part := range answer.parts {
				a.messages = append(a.messages, part.data)
			}
		}
		return a, true
	}
	r.send(longPollMessage{op: opWithdraw, number: r.number})
	return pollAnswer{status: http.StatusNoContent}, outcome == askUnanswered
}

// settle returns the messages that did not reach the client; that they did is
// clear from its next poll.
func (r *remotePeer) settle(delivered bool) {
	if !delivered && r.polls.enter() {
		defer r.polls.leave()
		r.send(longPollMessage{op: opReturn, number: r.number})
	}
}

// post sends the frames in as few messages as maxBusBatch allows.
func (r *remotePeer) post(ctx context.Context, frames []clientFrame) (int, bool) {
	if !r.polls.enter() {
		return 0, false
	}
	defer r.polls.leave()
	for {
		n, size := 0, 0
		for n < len(frames) && (n == 0 || size+len(frames[n].data) <= maxBusBatch) {
			size += len(frames[n].data)
			n++
		}
		// A window for the turn, and one for each frame that is a join.
		limit := r.opts.Window*time.Duration(n+1) + r.opts.PubSubTimeout
		answer, outcome := r.ask(ctx, longPollMessage{op: opPost, parts: frames[:n]}, limit)
		switch {
		case outcome == askUnanswered:
			return http.StatusRequestTimeout, true
		case outcome == askNobody:
			return 0, false
		case answer.status != http.StatusOK || n == len(frames):
			return answer.status, true
		}
		frames = frames[n:]
	}
}

// askOutcome is how a request to another node ended.
type askOutcome int

const (
	askAnswered   askOutcome = iota
	askUnanswered            // the session is there, but the limit has passed
	askNobody                // no sign of life
)

// ask sends a request and waits for its answer: PubSubTimeout for a sign of
// life, and limit from there. It also ends with ctx, and with this node.
func (r *remotePeer) ask(ctx context.Context, m longPollMessage, limit time.Duration) (longPollMessage, askOutcome) {
	request := &longPollRequest{node: r.ref.node, answers: make(chan longPollMessage, 2)}
	r.number = r.polls.register(request)
	m.number = r.number
	defer r.polls.unregister(m.number)
	r.send(m)
	outcome := askNobody
	timer := time.NewTimer(r.opts.PubSubTimeout)
	defer timer.Stop()
	for {
		select {
		case answer := <-request.answers:
			if answer.op != opAccepted {
				return answer, askAnswered
			}
			outcome = askUnanswered
			timer.Reset(limit)
			continue
		case <-timer.C:
		case <-ctx.Done():
		case <-r.polls.ctx.Done():
			outcome = askUnanswered
		}
		break
	}
	// An answer that has come meanwhile counts; later ones find no request.
	r.polls.unregister(m.number)
	for {
		select {
		case answer := <-request.answers:
			if answer.op != opAccepted {
				return answer, askAnswered
			}
		default:
			return longPollMessage{}, outcome
		}
	}
}

func (r *remotePeer) send(m longPollMessage) { r.polls.publish(r.ref.node, r.ref.id, m) }

func (p *longPolls) register(r *longPollRequest) uint64 {
	number := p.number()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests[number] = r
	return number
}

func (p *longPolls) unregister(number uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.requests, number)
}

// publish sends a message to a node. What cannot be sent is as good as lost:
// whoever waits for it has a deadline.
func (p *longPolls) publish(node, session string, m longPollMessage) {
	err := errNoBus
	if bus := p.engine.cfg.Bus; bus != nil {
		err = bus.PublishTo(node, KindLongPoll, session, m.encode())
	}
	if err != nil {
		p.engine.log.Warn("long-polling message not sent", "node", node, "error", fmt.Errorf("operation %q: %w", m.op, err))
	}
}

// publishLater is publish on a goroutine of its own, for callers that may not
// wait for the bus.
func (p *longPolls) publishLater(node, session string, m longPollMessage) {
	if !p.spawn(func() { p.publish(node, session, m) }) {
		p.publish(node, session, m) // the node stops: what it returns must still go out
	}
}
