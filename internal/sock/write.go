package sock

import (
	"sync/atomic"
	"syscall"
	"time"
)

// chunk is where queued frames are joined for one write.
type chunk [16 << 10]byte

// slowLogEvery is how often at most a warning about slow clients is logged.
const slowLogEvery = time.Second

// Send sends one complete unmasked frame, as NewFrame makes them. The frame
// must never change afterwards; it may be shared between connections. Send does
// not block: what the kernel does not take at once is queued. It reports false
// if the connection is closing, or is reset now because too much is queued.
// Frames sent by one goroutine arrive in order.
func (c *Conn) Send(frame []byte) bool {
	ok, _ := c.SendOnce(frame)
	return ok
}

// SendOnce is Send of a frame that only this connection gets: the caller may use
// its memory again if it was not kept.
func (c *Conn) SendOnce(frame []byte) (ok, kept bool) {
	ok, kept = c.send(frame, false)
	if ok {
		c.counts.messagesOut.Add(1)
	}
	return ok, kept
}

// Queued is how many bytes wait because the kernel does not take them yet.
func (c *Conn) Queued() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.queued
}

func (c *Conn) send(frame []byte, isClose bool) (ok, kept bool) {
	c.mu.Lock()
	if c.closeQueued || c.broken {
		c.mu.Unlock()
		return false, false
	}
	if isClose {
		c.closeQueued = true
		c.closeBy.Store(c.pool.now() + int64(c.pool.cfg.CloseTimeout))
	}
	if !c.writing && c.raw != nil {
		c.writing = true
		if c.queue.empty() {
			c.mu.Unlock()
			return c.attempt(frame, nil)
		}
		c.pushLocked(frame) // behind what was posted
		ok, _ = c.drainLocked()
		return ok, true
	}
	defer c.mu.Unlock()
	if !isClose && c.queued > 0 && c.queued+len(frame) > c.pool.cfg.QueueBytes {
		c.dropSlowLocked(&c.pool.slowBytes, "queue full")
		return false, false
	}
	c.pushLocked(frame)
	if !c.writing {
		c.writing = true
		c.startFlush(nil, nil)
	}
	return true, true
}

func (c *Conn) pushLocked(frame []byte) {
	c.queue.push(frame)
	c.queued += len(frame)
}

// drainLocked makes one attempt to write what is queued, which is not nothing;
// the caller has set writing. It releases c.mu.
func (c *Conn) drainLocked() (ok, kept bool) {
	var buf *chunk
	if c.queue.several() {
		buf = c.pool.chunks.Get().(*chunk)
	}
	next := c.queue.take(buf)
	c.queued -= len(next)
	c.mu.Unlock()
	return c.attempt(next, buf)
}

// attempt makes one attempt to write bytes, which may be in buf; the caller has
// set writing. A flusher goes on if the kernel did not take all of them, which
// are kept then, or if there is more in the queue.
func (c *Conn) attempt(bytes []byte, buf *chunk) (ok, kept bool) {
	rest, err := c.write(bytes, false)
	c.mu.Lock()
	ok = true
	closing := false
	switch {
	case c.broken:
		ok = false
	case err != nil:
		c.resetLocked(&CloseError{Kind: Disconnected, Code: codeAbnormal, Err: err})
		ok = false
	case len(rest) > 0 || !c.queue.empty():
		c.queued += len(rest)
		c.startFlush(rest, buf)
		buf, kept = nil, len(rest) > 0
	default:
		c.writing = false
		closing = c.closeQueued
	}
	c.mu.Unlock()
	if buf != nil {
		c.pool.chunks.Put(buf)
	}
	if closing {
		c.settle()
	}
	return ok, kept
}

// startFlush starts a flusher; buf, if not nil, is where first is, and its own
// from now on.
func (c *Conn) startFlush(first []byte, buf *chunk) {
	c.pool.wg.Go(func() { c.flush(first, buf) })
}

// flush writes first, which is counted in queued, and then all that is queued,
// joined into as few writes as possible, waiting for the kernel to take it.
func (c *Conn) flush(first []byte, buf *chunk) {
	if buf == nil {
		buf = c.pool.chunks.Get().(*chunk)
	}
	defer c.pool.chunks.Put(buf)
	for next := first; ; {
		_, err := c.write(next, true)
		c.mu.Lock()
		if c.broken {
			c.mu.Unlock()
			return
		}
		if err != nil {
			c.resetLocked(&CloseError{Kind: Disconnected, Code: codeAbnormal, Err: err})
			c.mu.Unlock()
			return
		}
		c.queued -= len(next)
		if c.queue.empty() {
			c.writing = false
			c.blockedAt.Store(0)
			c.mu.Unlock()
			c.settle()
			return
		}
		next = c.queue.take(buf)
		c.mu.Unlock()
	}
}

// write writes b and returns what the kernel did not take: nothing if wait is
// set. Its caller is the one that writes.
func (c *Conn) write(b []byte, wait bool) (rest []byte, err error) {
	if len(b) == 0 {
		return nil, nil
	}
	if c.raw == nil {
		return nil, c.writePlain(b)
	}
	op := c.pool.writes.Get().(*writeOp)
	op.c, op.rest, op.wait = c, b, wait
	if wait {
		err = c.raw.Write(op.patiently)
	} else {
		err = c.raw.Control(op.once) // costs less, and nobody else writes
	}
	if err == nil {
		err = op.err
	}
	rest = op.rest
	op.c, op.rest, op.err = nil, nil, nil
	c.pool.writes.Put(op)
	return rest, err
}

// writePlain writes pieces, so that a slow client is seen to make progress.
func (c *Conn) writePlain(b []byte) error {
	for len(b) > 0 {
		c.blockedAt.Store(c.pool.now())
		n, err := c.nc.Write(b[:min(len(b), len(chunk{}))])
		c.wrote(n)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func (c *Conn) wrote(n int) {
	c.counts.writeCalls.Add(1)
	c.counts.bytesOut.Add(uint64(n))
}

// writeOp is one use of a RawConn; pooled, so that it needs no closure.
type writeOp struct {
	c         *Conn
	rest      []byte
	wait      bool
	err       error
	once      func(fd uintptr)
	patiently func(fd uintptr) bool
}

func newWriteOp() *writeOp {
	op := new(writeOp)
	op.once = func(fd uintptr) { op.write(fd) }
	op.patiently = op.write
	return op
}

// write is called again each time the socket has become writable, until it
// returns true.
func (op *writeOp) write(fd uintptr) bool {
	for {
		n, err := syscall.Write(int(fd), op.rest)
		if err == syscall.EINTR {
			continue
		}
		if err == syscall.EAGAIN {
			op.c.blockedAt.CompareAndSwap(0, op.c.pool.now())
			return !op.wait
		}
		if err != nil {
			op.err = err
			return true
		}
		op.c.wrote(n)
		op.rest = op.rest[n:]
		if len(op.rest) == 0 || !op.wait {
			return true
		}
		op.c.blockedAt.Store(op.c.pool.now())
	}
}

// dropSlow resets a connection whose client does not read fast enough.
func (c *Conn) dropSlow(counter *atomic.Uint64, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropSlowLocked(counter, why)
}

func (c *Conn) dropSlowLocked(counter *atomic.Uint64, why string) {
	queued := c.queued
	if !c.resetLocked(&CloseError{Kind: TooSlow, Code: codeAbnormal}) {
		return
	}
	counter.Add(1)
	now, last := c.pool.now(), c.pool.slowLogged.Load()
	if last != 0 && now-last < int64(slowLogEvery) || !c.pool.slowLogged.CompareAndSwap(last, now) {
		return
	}
	// Not under the lock: a log that blocks must not hold up a sender.
	c.pool.wg.Go(func() {
		c.pool.cfg.Logger.Warn("slow websocket client dropped", "why", why,
			"remote", c.nc.RemoteAddr().String(), "queued_bytes", queued,
			"dropped_for_bytes", c.pool.slowBytes.Load(), "dropped_for_stall", c.pool.slowStall.Load())
	})
}
