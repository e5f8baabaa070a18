package realtime

import (
	"errors"
	"time"
)

type itemKind uint8

const (
	itemJoin itemKind = iota
	itemIn
	itemOut
	itemInfo
	itemLeave
	itemClose
)

// item is one message in a channel's mailbox.
type item struct {
	kind    itemKind
	ref     []byte // raw JSON, nil for null
	event   string
	payload Payload
	msg     any // itemInfo: the message; itemClose: the reason
	size    int // itemIn: what it counts for in the socket's inbound bytes
}

// state is how far a channel's life has come.
type state uint8

const (
	stateJoining state = iota
	stateJoined
	stateEnding // its end is in the mailbox, or under way; nothing more is taken
	stateEnded
)

// enqueue puts an item into the mailbox and makes sure that a goroutine works
// on it.
func (c *Channel) enqueue(it item) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state >= stateEnding {
		return ErrNotJoined
	}
	if len(c.queue) >= c.socket.engine.cfg.MailboxSize {
		return ErrMailboxFull
	}
	c.push(it)
	return nil
}

// push appends; the caller holds c.mu.
func (c *Channel) push(it item) {
	if c.queue == nil {
		c.queue = c.socket.engine.items.take()
	}
	c.queue = append(c.queue, it)
	if !c.running {
		c.running = true
		c.socket.engine.runs.Go(c)
	}
}

// enqueueBroadcast puts a broadcast into the mailbox. A channel that falls so
// far behind that its mailbox is full crashes: its client rejoins and is right
// again, which a silently lost message would not bring about.
func (c *Channel) enqueueBroadcast(it item) bool {
	err := c.enqueue(it)
	if errors.Is(err, ErrMailboxFull) {
		c.socket.engine.metrics.mailboxFull.Inc()
		c.finish(item{kind: itemClose, msg: ErrMailboxFull})
	}
	return err == nil
}

// finish puts the channel's end behind what is in its mailbox. A handler that
// is still at work ShutdownTimeout later finds its context cancelled. When the
// end is under way already, this does nothing: a second phx_leave gets no
// answer, as in Phoenix.
func (c *Channel) finish(it item) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state >= stateEnding {
		return
	}
	c.state = stateEnding
	c.push(it)
	c.deadline = time.AfterFunc(c.socket.engine.cfg.ShutdownTimeout, c.cancelRun)
}

// replace ends the channel for a duplicate join. A joined channel ends at once:
// what waits in its mailbox is dropped, a handler at work finds its context
// cancelled, and nothing more goes to the client. One whose join is still
// running ends behind it, so that each join gets its reply.
func (c *Channel) replace() {
	c.mu.Lock()
	joining := c.state == stateJoining
	if c.state != stateJoined {
		c.mu.Unlock()
		if joining {
			c.finish(item{kind: itemClose, msg: ErrReplaced})
		}
		return
	}
	defer c.unsubscribeAll()
	defer c.mu.Unlock()
	c.state = stateEnding
	c.muted.Store(true)
	c.release(c.queue)
	c.queue = nil
	c.push(item{kind: itemClose, msg: ErrReplaced})
	if c.current != nil {
		c.current.end(ErrReplaced)
	}
}

func (c *Channel) cancelRun() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil {
		c.current.end(ErrShutdown)
	}
}

// next takes everything that waits, or ends the run. done is what it returned
// before.
func (c *Channel) next(done []item) []item {
	c.socket.engine.items.put(done)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 {
		c.running = false
		c.current = nil
		return nil
	}
	batch := c.queue
	c.queue = nil
	return batch
}

// release gives the inbound bytes of dropped items back to the socket.
func (c *Channel) release(items []item) {
	n := 0
	for i := range items {
		n += items[i].size
	}
	if n > 0 {
		c.socket.inbound.Add(-int64(n))
	}
}
