package presence

import (
	"context"
	"time"
)

// HandleBus takes a message of another node. It does not block: the message is
// put to its shard's inbox. The body must not be changed afterwards.
func (t *Tracker) HandleBus(from string, body []byte) {
	now := time.Now()
	m, err := decodeMessage(body)
	switch {
	case err != nil:
		t.metrics.ignored.WithLabelValues(ignoredMalformed).Inc()
		t.note(&t.notes.malformed, "presence message cannot be read", "from", from, "error", err)
		return
	case m.shards != uint64(len(t.shards)):
		t.metrics.ignored.WithLabelValues(ignoredShards).Inc()
		t.note(&t.notes.shards, "presence message ignored: the node has another number of shards",
			"from", from, "shards", m.shards, "own", len(t.shards))
		return
	case m.sender.Name == t.replica.Name:
		if m.sender.Vsn > t.replica.Vsn {
			t.metrics.ignored.WithLabelValues(ignoredName).Inc()
			t.note(&t.notes.name, "presence message ignored: another node has this node's name",
				"from", from, "name", m.sender.Name)
		}
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if m.kind == msgPermdown {
		t.follow(t.replicas.Depart(m.sender, now))
		return
	}
	changes, ok := t.replicas.PutHeartbeat(m.sender, now)
	if !ok {
		t.metrics.ignored.WithLabelValues(ignoredDeparted).Inc()
		return
	}
	t.nodes[m.sender] = from
	t.follow(changes)
	if !t.shards[m.shard].inbox.put(item{message: m, at: now}) {
		t.metrics.ignored.WithLabelValues(ignoredOverflow).Inc()
		t.note(&t.notes.overflow, "presence messages dropped: too many wait", "shard", m.shard, "from", from)
	}
}

// Lost says that messages of other nodes are missing: all are asked for their
// clocks at once. It does not block.
func (t *Tracker) Lost() {
	for _, s := range t.shards {
		s.inbox.put(item{lost: true})
	}
}

// watch notices who falls silent. While this node cannot hear, it looks more
// often, so as to ask soon for what it has missed.
func (t *Tracker) watch(ctx context.Context) {
	timer := time.NewTimer(t.config.BroadcastPeriod / hasteParts)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			next := t.config.BroadcastPeriod
			if ready := t.config.Ready() == nil; !t.detectDown(ready, time.Now()) {
				next /= hasteParts
			}
			timer.Reset(next)
		}
	}
}

// detectDown is false while this node cannot hear.
func (t *Tracker) detectDown(ready bool, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case !ready:
		t.deaf = true
	case t.deaf:
		t.deaf = false
		t.replicas.restart(now)
		t.Lost()
	default:
		t.follow(t.replicas.DetectDown(now))
	}
	return !t.deaf
}

// follow tells all shards what has become of other replicas. It is called with
// the lock held, so that a shard learns of a replica before its first message.
func (t *Tracker) follow(changes []Change) {
	for _, c := range changes {
		t.config.Logger.Info("presence replica "+c.Status.String(), "replica", c.Replica.String(), "node", t.nodes[c.Replica])
		if c.Status == Permdown {
			delete(t.nodes, c.Replica)
		}
		for _, s := range t.shards {
			s.inbox.put(item{change: c})
		}
	}
}

// node returns the bus id of a replica that is up.
func (t *Tracker) node(r Replica) (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if status, _ := t.replicas.Status(r); status != Up {
		return "", false
	}
	node, ok := t.nodes[r]
	return node, ok
}

// restart lets the silence of all who are up begin anew.
func (rs *Replicas) restart(now time.Time) {
	for _, h := range rs.byName {
		if h.status == Up {
			h.at = now
		}
	}
}
