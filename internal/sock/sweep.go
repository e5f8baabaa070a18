package sock

import "time"

const (
	sweepsPerTimeout = 10
	shortestSweep    = 5 * time.Millisecond
	sweepBatch       = 1024 // connections looked at while holding Pool.mu
)

// sweepFor makes the sweeper look often enough for a timeout of d.
func (p *Pool) sweepFor(d time.Duration) {
	if d < 0 {
		return
	}
	every := int64(max(d/sweepsPerTimeout, shortestSweep))
	for {
		old := p.sweepEvery.Load()
		if old <= every {
			return
		}
		if p.sweepEvery.CompareAndSwap(old, every) {
			break
		}
	}
	select {
	case p.resweep <- struct{}{}:
	default:
	}
}

func (p *Pool) sweepUntil(done <-chan struct{}) {
	ticker := time.NewTicker(time.Duration(p.sweepEvery.Load()))
	defer ticker.Stop()
	for {
		select {
		case <-done:
			return
		case <-p.resweep:
			ticker.Reset(time.Duration(p.sweepEvery.Load()))
		case <-ticker.C:
			now := p.now()
			p.each(func(c *Conn) { c.sweep(now) })
		}
	}
}

// each calls f for every connection, in batches, so that Accept need not wait
// for all of them. A connection that moves between batches may be missed or
// seen twice.
func (p *Pool) each(f func(*Conn)) {
	batch := make([]*Conn, 0, sweepBatch)
	for from := 0; ; from += sweepBatch {
		p.mu.Lock()
		if from >= len(p.conns) {
			p.mu.Unlock()
			return
		}
		batch = append(batch[:0], p.conns[from:min(from+sweepBatch, len(p.conns))]...)
		p.mu.Unlock()
		for _, c := range batch {
			f(c)
		}
	}
}

// sweep ends the connection if one of its deadlines has passed.
func (c *Conn) sweep(now int64) {
	if by := c.closeBy.Load(); by != 0 {
		if now >= by {
			c.reset(&CloseError{Kind: Disconnected, Code: codeAbnormal})
		}
		return
	}
	if at := c.blockedAt.Load(); at != 0 && now-at >= int64(c.pool.cfg.StallTimeout) {
		c.dropSlow(&c.pool.slowStall, "stall")
		return
	}
	if c.idle > 0 && now-c.lastSeen.Load() >= int64(c.idle) && !c.isHandling() {
		cause := &CloseError{Kind: IdleClosed, Code: codeNormal}
		if c.closeWith(cause, "") {
			c.pool.idleClosed.Add(1)
		}
	}
}
