package sock

import (
	"runtime"
	"sync"
)

const (
	// postedFrames and postedBytes bound what is posted to a connection: who
	// posts more writes it. A quarter of QueueBytes is the bound if that is less.
	postedFrames = 32
	postedBytes  = 32 << 10
	// partConns is how many connections a writer takes at a time.
	partConns = 64
)

// A Batch is connections that frames were posted to. Whoever has posted calls
// Write or Flush once, and does not use the Batch again.
type Batch struct {
	pool *Pool
	last *part // not yet with the writers; nil if it would be empty
	// written, if not nil, is counted up until all that was posted is written.
	written *sync.WaitGroup
	turn    bool // has one
}

// part is some of a Batch's connections, in one piece.
type part struct {
	conns   [partConns]*Conn
	count   int
	written *sync.WaitGroup
}

// NewBatch returns an empty Batch.
func (p *Pool) NewBatch() *Batch { return &Batch{pool: p} }

// NewLargeBatch is NewBatch for frames to many connections; Write must follow. It
// waits for a turn while others are being written. written, if not nil, is
// counted up until all that was posted has been written, to clients that take it;
// but for connections of a Batch that is posted to still, which writes them.
func (p *Pool) NewLargeBatch(written *sync.WaitGroup) *Batch {
	return &Batch{pool: p, written: written, turn: p.writers.begin()}
}

// Post is Send, but leaves the writing to b, or to the next Send, whichever
// comes first: frames that are posted meanwhile share its write.
func (c *Conn) Post(frame []byte, b *Batch) bool { return c.TryPost(frame, b) || c.Send(frame) }

// TryPost is Post, but false, and does nothing, unless nothing waits for the
// client but what little was posted.
func (c *Conn) TryPost(frame []byte, b *Batch) bool {
	c.mu.Lock()
	if c.writing || c.raw == nil || c.closeQueued || c.broken ||
		c.queue.len() >= postedFrames || c.queued+len(frame) > c.pool.postedBytes {
		c.mu.Unlock()
		return false
	}
	c.pushLocked(frame)
	first := !c.batched
	c.batched = true
	c.mu.Unlock()
	if first {
		b.add(c)
	}
	c.counts.messagesOut.Add(1)
	return true
}

// flushPosted writes what was posted, unless that has been done.
func (c *Conn) flushPosted() {
	c.mu.Lock()
	c.batched = false
	if c.writing || c.broken || c.queue.empty() {
		c.mu.Unlock()
		return
	}
	c.writing = true
	c.drainLocked()
}

// add hands full parts to the writers, so that they need not wait for the rest.
func (b *Batch) add(c *Conn) {
	if b.last == nil {
		b.last = b.pool.parts.Get().(*part)
	}
	b.last.conns[b.last.count] = c
	if b.last.count++; b.last.count == partConns {
		b.handOver()
	}
}

func (b *Batch) handOver() {
	p := b.last
	b.last = nil
	if b.written != nil {
		b.written.Add(1)
		p.written = b.written
	}
	if !b.pool.writers.take(p) {
		b.pool.write(p)
	}
}

// Write has what was posted written by the writers of the pool, in the order of
// these calls, and returns at once.
func (b *Batch) Write() {
	if b.last == nil && b.written != nil { // others may write what was posted
		b.last = b.pool.parts.Get().(*part)
	}
	if b.last != nil {
		b.handOver()
	}
	if b.turn {
		b.pool.writers.turns.release()
	}
}

// Flush writes what was posted if it goes to few connections; else it is Write.
func (b *Batch) Flush() {
	if b.last != nil && b.last.count <= maxInline {
		b.pool.write(b.last)
		return
	}
	b.Write()
}

// maxInline is how many connections Flush writes to by itself: more take so long
// that its caller need not wait for them.
const maxInline = 32

func (p *Pool) write(some *part) {
	for _, c := range some.conns[:some.count] {
		c.flushPosted()
	}
	if some.written != nil {
		some.written.Done()
	}
	clear(some.conns[:some.count])
	some.count, some.written = 0, nil
	p.parts.Put(some)
}

// writers are goroutines that exist while there is something to be written. A
// connection is in one part at most, which bounds the queue.
type writers struct {
	pool  *Pool
	turns turns

	mu      sync.Mutex
	closed  bool
	queue   []*part // the oldest first
	working int
	busy    bool // large Batches wait for each other
}

// turns bound who posts large Batches, and who writes them, to half of the
// processors while there are several: a round over all connections that takes
// longer carries more frames, so it costs less, and clients on the same machine
// come to read.
type turns chan struct{}

func newTurns() turns     { return make(turns, max(1, runtime.GOMAXPROCS(0)/2)) }
func (t turns) take()     { t <- struct{}{} }
func (t turns) release()  { <-t }
func (t turns) all() int  { return 2 * cap(t) }
func (t turns) half() int { return cap(t) }

// begin is told of each large Batch, and whether it has taken a turn.
func (w *writers) begin() (turn bool) {
	w.mu.Lock()
	turn = w.working > 0
	w.busy = turn
	w.mu.Unlock()
	if turn {
		w.turns.take()
	}
	return turn
}

// most is how many writers there may be.
func (w *writers) most() int {
	if w.busy {
		return w.turns.half()
	}
	return w.turns.all()
}

// take is false when no more are written, as the pool ends.
func (w *writers) take(some *part) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.queue = append(w.queue, some)
	if w.working < w.most() {
		w.working++
		w.pool.wg.Go(w.work)
	}
	return true
}

func (w *writers) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
}

func (w *writers) work() {
	for {
		some, turn := w.next()
		if some == nil {
			return
		}
		if turn {
			w.turns.take()
		}
		w.pool.write(some)
		if turn {
			w.turns.release()
		}
	}
}

// next returns what to write, and whether that takes a turn. It ends the writer
// if nothing is left, or if there are too many.
func (w *writers) next() (some *part, turn bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 {
		w.busy = false
	}
	if len(w.queue) == 0 || w.working > w.most() {
		w.working--
		return nil, false
	}
	some = w.queue[0]
	w.queue[0] = nil
	w.queue = w.queue[1:]
	return some, w.busy
}
