package realtime

import (
	"context"
	"math"
	"net/http"
	"time"
)

// longPollPeer is the session that an HTTP request asks for. alive is false
// when it did not answer within PubSubTimeout: it has ended, or its node has.
type longPollPeer interface {
	// poll waits for an answer, the window at most.
	poll(ctx context.Context) (answer pollAnswer, alive bool)
	// settle says whether the answer reached the client's connection.
	settle(delivered bool)
	// post has frames handled, and returns the status of the POST.
	post(ctx context.Context, frames []clientFrame) (status int, alive bool)
}

// resume finds the session of a token; false for a bad or expired token.
func (m *Mount) resume(signed string) (longPollPeer, bool) {
	p := m.engine.polls
	ref, ok := m.verify(signed)
	if !ok {
		return nil, false
	}
	if ref.node != p.node() {
		return &remotePeer{polls: p, ref: ref, opts: m.opts.LongPoll}, true
	}
	if s := p.find(ref.id); s != nil {
		return &localPeer{polls: p, session: s, key: pollKey{node: ref.node, number: p.number()}}, true
	}
	return &absentPeer{polls: p, timeout: m.opts.LongPoll.PubSubTimeout}, true
}

// localPeer is a session of this node.
type localPeer struct {
	polls   *longPolls
	session *longPollSession
	key     pollKey
}

func (l *localPeer) poll(ctx context.Context) (pollAnswer, bool) {
	ready := make(chan struct{})
	l.session.poll(l.key, func() { close(ready) })
	window := time.NewTimer(l.session.window)
	defer window.Stop()
	select {
	case <-ready:
	case <-window.C:
	case <-l.polls.ctx.Done():
	case <-ctx.Done():
		l.session.withdraw(l.key)
		return pollAnswer{status: http.StatusNoContent}, true
	}
	return l.session.take(l.key, math.MaxInt), true
}

func (l *localPeer) settle(delivered bool) { l.session.settle(l.key, delivered) }

func (l *localPeer) post(ctx context.Context, frames []clientFrame) (int, bool) {
	return l.session.post(ctx, frames, func() {}), true
}

// absentPeer is a session of this node that has ended. Its client waits, as
// with Phoenix, which slows down clients that do not give up. Only a node that
// shuts down has no time for that.
type absentPeer struct {
	polls   *longPolls
	timeout time.Duration
}

func (a *absentPeer) poll(ctx context.Context) (pollAnswer, bool) {
	a.wait(ctx)
	return pollAnswer{}, false
}

func (a *absentPeer) settle(bool) {}

func (a *absentPeer) post(ctx context.Context, _ []clientFrame) (int, bool) {
	a.wait(ctx)
	return 0, false
}

func (a *absentPeer) wait(ctx context.Context) {
	if a.polls.engine.Draining() {
		return
	}
	timeout := time.NewTimer(a.timeout)
	defer timeout.Stop()
	select {
	case <-timeout.C:
	case <-ctx.Done():
	case <-a.polls.ctx.Done():
	}
}
