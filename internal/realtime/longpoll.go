package realtime

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"github.com/trunkline/trunkline/internal/token"
)

// LongPollOptions of one socket path. Zero values take the defaults, which are
// those of Phoenix.Transports.LongPoll.
type LongPollOptions struct {
	// Off serves WebSockets only.
	Off bool
	// Window is how long a poll waits for a message, and a POST for the join
	// that it starts. A session ends when no poll came for 1.5 times as long,
	// which is checked that often. Default 10 s (window_ms).
	Window time.Duration
	// PubSubTimeout is how long a session that does not answer is waited for:
	// it has ended, or its node has. Default 2 s (pubsub_timeout_ms).
	PubSubTimeout time.Duration
	// MaxAge of session tokens. Default 1,209,600 s (crypto: max_age).
	MaxAge time.Duration
}

func (o LongPollOptions) withDefaults() LongPollOptions {
	if o.Window == 0 {
		o.Window = 10 * time.Second
	}
	if o.PubSubTimeout == 0 {
		o.PubSubTimeout = 2 * time.Second
	}
	if o.MaxAge == 0 {
		o.MaxAge = token.DefaultMaxAge
	}
	return o
}

// longPolls owns the long-polling sessions of this node, what HTTP requests
// here have asked of sessions on other nodes, and the goroutines that serve
// other nodes.
type longPolls struct {
	engine *Engine
	tokens *token.Signer
	alone  string // the node's name in tokens where there is no bus

	ctx  context.Context // ends with close
	stop context.CancelFunc
	work sync.WaitGroup

	mu       sync.Mutex // guards the following
	ending   bool       // no more sessions
	closed   bool       // no more work
	sessions map[string]*longPollSession
	requests map[uint64]*longPollRequest
	last     uint64 // number of the latest poll or request
}

func newLongPolls(e *Engine) *longPolls {
	tokens := e.cfg.Signer
	if tokens == nil {
		var err error
		if tokens, err = token.New(rand.Text()+rand.Text(), token.Options{}); err != nil {
			panic(err) // a random secret is always long enough
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	return &longPolls{
		engine:   e,
		tokens:   tokens,
		alone:    rand.Text(),
		ctx:      ctx,
		stop:     stop,
		sessions: make(map[string]*longPollSession),
		requests: make(map[uint64]*longPollRequest),
	}
}

// node is this node's id, as in the session tokens.
func (p *longPolls) node() string {
	if p.engine.cfg.Bus == nil {
		return p.alone
	}
	return p.engine.cfg.Bus.Node()
}

// open makes a session of a connected socket. It is ErrStopped when the node is
// shutting down.
func (p *longPolls) open(socket *Socket) (*longPollSession, error) {
	s := newLongPollSession(p, socket)
	p.mu.Lock()
	if p.ending {
		p.mu.Unlock()
		return nil, ErrStopped
	}
	p.sessions[s.id] = s
	p.mu.Unlock()
	if err := p.engine.addSocket(socket); err != nil {
		p.forget(s.id)
		return nil, err
	}
	s.start()
	return s, nil
}

// find is nil when the session has ended.
func (p *longPolls) find(id string) *longPollSession {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sessions[id]
}

func (p *longPolls) forget(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.sessions, id)
}

// number is unique in this node's life; it names polls and requests.
func (p *longPolls) number() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last++
	return p.last
}

// spawn runs f on a goroutine that close waits for; false after close.
func (p *longPolls) spawn(f func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.work.Go(f)
	return true
}

// enter holds up close until leave; false after close. HTTP requests that
// wait for another node are within, so that they can take leave of it.
func (p *longPolls) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.work.Add(1)
	}
	return !p.closed
}

func (p *longPolls) leave() { p.work.Done() }

// close ends all sessions and waits for their goroutines. A waiting poll is
// answered at once, so that the HTTP server is not kept waiting.
func (p *longPolls) close() error {
	p.mu.Lock()
	p.ending = true
	sessions := make([]*longPollSession, 0, len(p.sessions))
	for _, s := range p.sessions {
		sessions = append(sessions, s)
	}
	p.mu.Unlock()
	for _, s := range sessions {
		s.end(ErrDraining)
	}
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.stop()
	p.work.Wait()
	return nil
}
