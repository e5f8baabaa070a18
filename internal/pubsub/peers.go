package pubsub

import (
	"math"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// A sender that is silent for so long is forgotten, numbers and all.
	forgetPeerAfter = time.Hour
	maxPeers        = 4096
)

// peers knows, for each sender, which number is expected next. Used by the
// dispatcher alone, but for count.
type peers struct {
	byID  map[string]*peer
	count atomic.Int64 // of byID
}

type peer struct {
	id          string
	heard       time.Time
	broadcast   uint64 // next expected; 0 before the first
	direct      uint64 // next expected of the epoch
	directEpoch uint64
}

func newPeers() *peers {
	return &peers{byID: make(map[string]*peer)}
}

// find returns the sender of that id.
func (ps *peers) find(id string, now time.Time) *peer {
	p := ps.byID[id]
	if p == nil {
		if len(ps.byID) >= maxPeers {
			ps.forgetOldest()
		}
		p = &peer{id: strings.Clone(id), heard: now}
		ps.byID[p.id] = p
		ps.count.Store(int64(len(ps.byID)))
	}
	p.heard = now
	return p
}

func (ps *peers) forgetOldest() {
	var oldest *peer
	for _, p := range ps.byID {
		if oldest == nil || p.heard.Before(oldest.heard) {
			oldest = p
		}
	}
	delete(ps.byID, oldest.id)
}

// forgetSilent drops the senders that have long been silent.
func (ps *peers) forgetSilent(now time.Time) {
	for id, p := range ps.byID {
		if now.Sub(p.heard) > forgetPeerAfter {
			delete(ps.byID, id)
		}
	}
	ps.count.Store(int64(len(ps.byID)))
}

// arrived: messages messages came, numbered from h.counter on. It returns how
// many are missing before them, and whether they come too late: then they were
// counted as lost, and others were handled since.
func (p *peer) arrived(h header, messages int) (lost int, late bool) {
	if h.stream == streamDirect {
		if h.epoch < p.directEpoch {
			return 0, true
		}
		p.enterEpoch(h.epoch)
		return advance(&p.direct, h.counter, uint64(messages))
	}
	if p.broadcast == 0 { // what was sent before we listened is not missing
		p.broadcast = h.counter
	}
	return advance(&p.broadcast, h.counter, uint64(messages))
}

// announced: a heartbeat told the newest numbers. It returns how many messages
// are missing.
func (p *peer) announced(h heartbeat, own string) (lost int) {
	if p.broadcast == 0 {
		p.broadcast = h.broadcast + 1
	}
	lost, _ = advance(&p.broadcast, h.broadcast+1, 0)
	for _, d := range h.direct {
		if d.incarnation == own && d.epoch >= p.directEpoch {
			p.enterEpoch(d.epoch)
			lostDirect, _ := advance(&p.direct, d.counter+1, 0)
			lost += lostDirect
		}
	}
	return lost
}

func (p *peer) enterEpoch(epoch uint64) {
	if epoch > p.directEpoch {
		p.directEpoch = epoch
		p.direct = 1
	}
}

// advance moves next past n messages numbered from first on.
func advance(next *uint64, first, n uint64) (lost int, late bool) {
	if first < *next {
		return 0, true
	}
	missing := first - *next
	*next = first + n
	return int(min(missing, math.MaxInt32)), false
}
