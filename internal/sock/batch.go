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
)

// A Batch is connections that frames were posted to. Whoever has posted calls
// Write or Flush once, and does not use the Batch again.
type Batch struct {
	pool   *Pool
	conns  []*Conn
	joined bool // some frames were posted to connections of earlier Batches
	wrote  func()
}

// NewBatch returns an empty Batch.
func (p *Pool) NewBatch() *Batch { return p.batches.Get().(*Batch) }

// Len is the number of connections that Flush would write to.
func (b *Batch) Len() int { return len(b.conns) }

// Post is Send, but leaves the writing to b, or to the next Send, whichever
// comes first: frames that are posted meanwhile share its write.
func (c *Conn) Post(frame []byte, b *Batch) bool {
	c.mu.Lock()
	if c.writing || c.raw == nil || c.closeQueued || c.broken ||
		c.queue.len() >= postedFrames || c.queued+len(frame) > c.pool.postedBytes {
		c.mu.Unlock()
		return c.Send(frame)
	}
	c.pushLocked(frame)
	if c.batched {
		b.joined = true
	} else {
		c.batched = true
		b.conns = append(b.conns, c)
	}
	c.mu.Unlock()
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
	c.mu.Unlock()
	c.drain()
}

// Flush writes what was posted.
func (b *Batch) Flush() {
	for _, c := range b.conns {
		c.flushPosted()
	}
	b.release()
}

func (b *Batch) release() {
	clear(b.conns)
	b.conns, b.joined, b.wrote = b.conns[:0], false, nil
	b.pool.batches.Put(b)
}

// Write has what was posted written by the writers of the pool, in the order of
// these calls, and returns at once. wrote, if not nil, is called when that has
// been done.
func (b *Batch) Write(wrote func()) {
	b.wrote = wrote
	if !b.pool.writers.take(b) {
		b.write()
	}
}

func (b *Batch) write() {
	wrote := b.wrote
	b.Flush()
	if wrote != nil {
		wrote()
	}
}

// writers are goroutines that exist while there are batches to be written. A
// connection is in one batch at most, which bounds the queue.
type writers struct {
	wg *sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	queue   []*Batch // the oldest first
	working int
	// most is the number of processors, or half of it while frames wait for each
	// other: a round that takes longer carries more of them, so it costs less.
	most int
}

// take is false when no more are written, as the pool ends.
func (w *writers) take(b *Batch) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.most = runtime.GOMAXPROCS(0)
	if b.joined {
		w.most = max(1, w.most/2)
	}
	if len(b.conns) == 0 && b.wrote == nil {
		b.release()
		return true
	}
	w.queue = append(w.queue, b)
	if w.working < w.most {
		w.working++
		w.wg.Go(w.work)
	}
	return true
}

func (w *writers) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
}

func (w *writers) work() {
	for b := w.next(); b != nil; b = w.next() {
		b.write()
	}
}

// next ends the writer if nothing is left, or if there are too many.
func (w *writers) next() *Batch {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 || w.working > w.most {
		w.working--
		return nil
	}
	b := w.queue[0]
	w.queue[0] = nil
	w.queue = w.queue[1:]
	return b
}
