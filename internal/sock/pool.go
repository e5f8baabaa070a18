package sock

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trunkline/trunkline/internal/worker"
)

// ErrPoolClosed is returned by Accept once the pool's Run has begun to end.
var ErrPoolClosed = errors.New("websocket pool is closed")

// Pool owns connections, their goroutines and their buffers. Make one per
// server with NewPool, and keep Run running while it accepts.
type Pool struct {
	cfg   Config
	start time.Time

	wg     sync.WaitGroup
	serves *worker.Pool[*Conn] // decodes what has come

	pages    sync.Pool // of *page: read buffers
	messages sync.Pool // of *[]byte: messages being put together
	chunks   sync.Pool // of *chunk: frames being joined
	writes   sync.Pool // of *writeOp
	parts    sync.Pool // of *part

	writers     writers
	postedBytes int

	// sweepEvery is the interval of the sweeper in nanoseconds; it follows the
	// shortest timeout of any connection accepted so far.
	sweepEvery atomic.Int64
	resweep    chan struct{}

	counts     [counterShards]counters
	accepted   atomic.Uint64
	idleClosed atomic.Uint64
	slowBytes  atomic.Uint64
	slowStall  atomic.Uint64
	slowLogged atomic.Int64 // when the last warning was logged

	mu     sync.Mutex // guards the following
	conns  []*Conn
	closed bool
}

// NewPool returns a Pool. Connections may be accepted at once, but their
// deadlines are kept only while Run runs.
func NewPool(cfg Config) *Pool {
	p := &Pool{
		cfg:     cfg.withDefaults(),
		start:   time.Now(),
		resweep: make(chan struct{}, 1),
	}
	p.serves = worker.New(&p.wg, (*Conn).serve)
	p.pages.New = func() any { return new(page) }
	p.messages.New = func() any { b := make([]byte, 0, pageSize); return &b }
	p.chunks.New = func() any { return new(chunk) }
	p.writes.New = func() any { return newWriteOp() }
	p.writers.pool, p.writers.turns = p, newTurns()
	p.postedBytes = min(postedBytes, p.cfg.QueueBytes/4)
	p.parts.New = func() any { return new(part) }
	p.sweepEvery.Store(int64(time.Second))
	p.sweepFor(p.cfg.StallTimeout)
	p.sweepFor(p.cfg.CloseTimeout)
	return p
}

// Run keeps the deadlines of all connections until ctx ends. Then no more are
// accepted, those that are not closing already are reset, and Run waits for the
// rest: CloseTimeout for connections that are closing, and the same again for
// handlers. It returns an error if goroutines are left after that, else nil.
// Run must be called once.
func (p *Pool) Run(ctx context.Context) error {
	p.sweepUntil(ctx.Done())

	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	for _, c := range p.snapshot(nil) {
		c.resetUnlessClosing()
	}
	p.writers.close()
	p.serves.Close()
	gone := make(chan struct{})
	go func() {
		p.wg.Wait()
		close(gone)
	}()

	grace := time.AfterFunc(p.cfg.CloseTimeout, p.resetAll)
	defer grace.Stop()
	limit := time.NewTimer(2 * p.cfg.CloseTimeout)
	defer limit.Stop()
	select {
	case <-gone:
		return nil
	case <-limit.C:
		p.mu.Lock()
		left := len(p.conns)
		p.mu.Unlock()
		return fmt.Errorf("websocket pool: %d connections still busy %v after shutdown", left, 2*p.cfg.CloseTimeout)
	}
}

// now is the time since the pool was made, in nanoseconds, never 0.
func (p *Pool) now() int64 { return int64(time.Since(p.start)) + 1 }

func (p *Pool) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// add registers c and counts it in wg, until remove. It reports false when the
// pool is closed.
func (p *Pool) add(c *Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.wg.Add(1)
	c.index = len(p.conns)
	p.conns = append(p.conns, c)
	c.counts = &p.counts[p.accepted.Add(1)%counterShards]
	return true
}

func (p *Pool) remove(c *Conn) {
	p.mu.Lock()
	last := len(p.conns) - 1
	p.conns[c.index] = p.conns[last]
	p.conns[c.index].index = c.index
	p.conns[last] = nil
	p.conns = p.conns[:last]
	p.mu.Unlock()
	p.wg.Done()
}

func (p *Pool) resetAll() {
	for _, c := range p.snapshot(nil) {
		c.reset(&CloseError{Kind: Shutdown, Code: codeAbnormal})
	}
}
