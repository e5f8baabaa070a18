package sock

import (
	"slices"
	"time"
)

const (
	sweepsPerTimeout = 10
	shortestSweep    = 5 * time.Millisecond
	// smallList is the places that a list of connections keeps in any case.
	smallList = 1024
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
	var conns []*Conn
	for {
		select {
		case <-done:
			return
		case <-p.resweep:
			ticker.Reset(time.Duration(p.sweepEvery.Load()))
		case <-ticker.C:
			now := p.now()
			conns = p.snapshot(conns)
			for _, c := range conns {
				c.sweep(now)
			}
			clear(conns) // or those that end meanwhile would be kept alive
		}
	}
}

// snapshot appends all connections to buf[:0], or to a new list when most have
// left since that one was made. It makes the pool's own list anew then, too.
func (p *Pool) snapshot(buf []*Conn) []*Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if tooLarge(cap(p.conns), len(p.conns)) {
		p.conns = slices.Clone(p.conns)
	}
	if tooLarge(cap(buf), len(p.conns)) {
		buf = nil
	}
	return append(buf[:0], p.conns...)
}

// tooLarge is about lists of which less than a quarter is used.
func tooLarge(places, used int) bool { return places > smallList && used < places/4 }

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
