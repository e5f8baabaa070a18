package realtime

import (
	"bytes"
	"net/http"
)

// HandleLongPollBus works on a KindLongPoll message of another node: a request
// for a session here, or the answer to one of this node's. It does not block
// and does not keep body.
func (e *Engine) HandleLongPollBus(from string, topic string, body []byte) {
	m, err := parseLongPollMessage(bytes.Clone(body))
	switch {
	case err != nil:
		e.log.Error("bus message dropped", "node", from, "error", err)
	case m.op.isAnswer():
		e.polls.deliver(from, topic, m)
	default:
		e.polls.serve(from, topic, m)
	}
}

// deliver hands an answer to the HTTP request that waits for it. Messages that
// nobody waits for any more go back to their session.
func (p *longPolls) deliver(from, session string, m longPollMessage) {
	p.mu.Lock()
	delivered := false
	if r := p.requests[m.number]; r != nil && r.node == from {
		select {
		case r.answers <- m:
			delivered = true
		default: // an answer that came twice
		}
	}
	p.mu.Unlock()
	if !delivered && m.op == opMessages {
		p.publishLater(from, session, longPollMessage{op: opReturn, number: m.number})
	}
}

// serve works on a request for a session of this node. One that has ended does
// not answer, as in Phoenix.
func (p *longPolls) serve(from, session string, m longPollMessage) {
	s := p.find(session)
	if s == nil {
		return
	}
	key := pollKey{node: from, number: m.number}
	switch m.op {
	case opPoll:
		answered := s.poll(key, func() { p.spawn(func() { p.answerPoll(s, key) }) })
		if !answered {
			p.publishLater(from, session, longPollMessage{op: opAccepted, number: m.number})
		}
	case opWithdraw:
		s.withdraw(key)
	case opReturn:
		s.settle(key, false)
	case opPost:
		p.spawn(func() {
			status := s.post(p.ctx, m.parts, func() {
				p.publish(from, session, longPollMessage{op: opAccepted, number: m.number})
			})
			p.publish(from, session, longPollMessage{op: opStatus, number: m.number, status: status})
		})
	}
}

// answerPoll sends another node what its poll has been waiting for.
func (p *longPolls) answerPoll(s *longPollSession, key pollKey) {
	answer := s.take(key, maxBusBatch)
	m := longPollMessage{op: opStatus, number: key.number, status: answer.status}
	if answer.status == http.StatusOK {
		m = longPollMessage{op: opMessages, number: key.number}
		for _, msg := range answer.messages {
			m.parts = append(m.parts, clientFrame{data: msg})
		}
	}
	p.publish(key.node, s.id, m)
}
