package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/trunkline/trunkline/test/harness"
)

const (
	lobbyGrace = 2 * time.Second
	// Who is back within surelyBack has not left; who is away for surelyGone has.
	surelyBack = lobbyGrace - 700*time.Millisecond
	surelyGone = lobbyGrace + 2*time.Second
	// lobbyLife is the least time that somebody is there: it is written by then.
	lobbyLife = 1200 * time.Millisecond
)

// A lobby is what the members share.
type lobby struct {
	nodes []*harness.Node
	// moving is held by who comes or goes, and by who ends a node: so each
	// member has been there for a while by then, or is away.
	moving sync.RWMutex

	mu   sync.Mutex
	open map[*harness.Node]bool
}

func (l *lobby) set(n *harness.Node, open bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[n] = open
}

// any is a node that takes clients.
func (l *lobby) any() *harness.Node {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if n := l.nodes[rand.IntN(len(l.nodes))]; l.open[n] {
			return n
		}
	}
}

// A member comes to a topic of the lobby, leaves it and changes nodes, and
// knows how often it has left. Its methods are for one goroutine.
type member struct {
	lobby *lobby
	stayer
	left   expected
	socket *socket
	// Once its node has ended it stays where it is, or away, to the end: for 15 s
	// the other nodes may take a node that was killed for alive.
	still, goneForGood bool
	err                error
}

// run goes on until stop ends, then leaves.
func (m *member) run(ctx context.Context, stop <-chan struct{}) {
	defer func() {
		if m.socket != nil {
			m.socket.close()
			m.count(1, 1)
		}
	}()
	for ctx.Err() == nil {
		if m.socket == nil && !m.goneForGood {
			m.come(ctx)
		}
		if m.err != nil {
			return
		}
		var ended <-chan struct{}
		var timer <-chan time.Time
		if m.socket != nil {
			ended = m.socket.ended
			if !m.still {
				timer = time.After(lobbyLife + rand.N(3*time.Second))
			}
		}
		select {
		case <-stop:
			return
		case <-ended:
			m.lost(ctx)
		case <-timer:
			m.move(ctx)
			if m.socket == nil && m.err == nil && !m.stayAway(stop) {
				return
			}
		}
	}
}

func (m *member) count(least, most int) {
	m.left.least += least
	m.left.most += most
}

// come joins on any node, and returns when the server has shown it.
func (m *member) come(ctx context.Context) {
	m.lobby.moving.RLock()
	defer m.lobby.moving.RUnlock()
	m.socket, m.err = m.connect(ctx)
}

func (m *member) connect(ctx context.Context) (*socket, error) {
	shown, once := make(chan struct{}), sync.Once{}
	c, err := dial(ctx, m.lobby.any().Address(), newUser(m.key), func(got message, _ time.Time) {
		if got.Event == "tracked" {
			once.Do(func() { close(shown) })
		}
	})
	if err != nil {
		return nil, err
	}
	if _, err := c.join(ctx, m.topic, object{"key": m.key}); err != nil {
		c.close()
		return nil, err
	}
	select {
	case <-shown:
		return c, nil
	case <-time.After(joinTimeout):
		c.close()
		return nil, fmt.Errorf("%s was not shown within %v", m.key, joinTimeout)
	}
}

// lost is when its node has ended. Half of them come back elsewhere at once.
func (m *member) lost(ctx context.Context) {
	gone := time.Now()
	m.socket.close()
	m.socket = nil
	if rand.IntN(2) == 0 {
		m.goneForGood = true
		m.count(1, 1)
		return
	}
	m.still = true
	if m.come(ctx); m.err == nil {
		m.away(time.Since(gone))
	}
}

// away counts what was a departure, after it has come back.
func (m *member) away(d time.Duration) {
	switch {
	case d >= surelyGone:
		m.count(1, 1)
	case d > surelyBack:
		m.count(0, 1)
	}
}

// move leaves, for a moment only or not, or changes to another node.
func (m *member) move(ctx context.Context) {
	m.lobby.moving.RLock()
	defer m.lobby.moving.RUnlock()
	select {
	case <-m.socket.ended: // meanwhile: run finds it
		return
	default:
	}
	gone := time.Now()
	switch rand.IntN(4) {
	case 0: // another tab, and a while later this one no more
		other, err := m.connect(ctx)
		if m.err = err; err != nil {
			return
		}
		harness.Pause(ctx, lobbyLife)
		m.socket.close()
		m.socket = other
	case 1: // reloads the page
		m.goAway(ctx)
		if m.socket, m.err = m.connect(ctx); m.err == nil {
			m.away(time.Since(gone))
		}
	default:
		m.goAway(ctx)
		m.socket = nil
		m.count(1, 1)
	}
}

// goAway says so, or not.
func (m *member) goAway(ctx context.Context) {
	if rand.IntN(2) == 0 {
		p := newPush("phx_leave", "")
		if err := m.socket.send(ctx, m.topic, p, object{}); err == nil {
			select {
			case <-p.first:
			case <-m.socket.ended: // its node has just ended
			}
		}
	}
	m.socket.close()
}

// stayAway stays away for long enough to have left; false when stop ended first.
func (m *member) stayAway(stop <-chan struct{}) bool {
	timer := time.NewTimer(surelyGone)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-stop:
		return false
	}
}

// quiet waits until nobody is coming or going and nobody has just come, lets
// nobody on the node any more, and does something about it.
func (l *lobby) quiet(ctx context.Context, n *harness.Node, do func()) {
	l.moving.Lock()
	defer l.moving.Unlock()
	harness.Pause(ctx, lobbyLife)
	l.set(n, false)
	do()
}
