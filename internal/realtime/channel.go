package realtime

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trunkline/trunkline/internal/wire"
)

// Channel is one joined topic of one socket: a mailbox that is worked on by a
// goroutine only while something is in it.
type Channel struct {
	socket  *Socket
	topic   string
	joinRef []byte // raw JSON, nil for null
	handler Handler
	prev    *Channel      // the channel of the same topic that this join replaces or follows
	decided chan struct{} // closed when the join was answered; nil when nobody waits

	follower *follower // set in Join when the topic is durable, else nil
	reserved int       // of the client's queue, for the join's reply

	mu       sync.Mutex
	state    state
	running  bool
	queue    []item
	current  *runContext     // of the run under way
	deadline *time.Timer     // cancels a run that outlives its channel
	ended    chan struct{}   // made when somebody waits for the end
	subs     []*subscription // the first is the channel's own topic

	joined atomic.Bool // Join returned ok and the channel has not ended
	told   atomic.Bool // Ended was called
	muted  atomic.Bool // replaced: nothing more goes to the client

	// Of the running goroutine alone.
	intercepts []string
	ref        []byte // of the push under way
	terminate  bool   // Join returned ok, so Terminate is due
}

// Topic is the topic that the client joined.
func (c *Channel) Topic() string { return c.topic }

// Socket is the connection that the channel belongs to.
func (c *Channel) Socket() *Socket { return c.socket }

// intercepted reports whether an event goes to HandleOut. The list is set
// before the channel subscribes and not changed afterwards.
func (c *Channel) intercepted(event string) bool {
	return len(c.intercepts) > 0 && slices.Contains(c.intercepts, event)
}

func (c *Channel) run() {
	ctx := &runContext{parent: c.socket.engine.base}
	defer ctx.end(nil)
	c.mu.Lock()
	c.current = ctx
	if c.muted.Load() {
		ctx.end(ErrReplaced)
	}
	c.mu.Unlock()
	var batch []item
	for batch = c.next(batch); batch != nil; batch = c.next(batch) {
		for i := range batch {
			done, reason := c.handle(ctx, &batch[i])
			c.release(batch[i : i+1])
			if done {
				c.end(reason, batch[i+1:])
				return
			}
			if c.muted.Load() {
				c.release(batch[i+1:])
				break // replaced meanwhile: its end is in the mailbox
			}
		}
	}
}

// handle works on one item and reports whether the channel is at its end.
func (c *Channel) handle(ctx context.Context, it *item) (done bool, reason error) {
	switch it.kind {
	case itemJoin:
		return c.join(ctx, it)
	case itemIn:
		c.ref = it.ref
		var reply Reply
		err := c.guard(func() (err error) {
			reply, err = c.handler.HandleIn(ctx, c, it.event, it.payload)
			return err
		})
		c.ref = nil
		if reply.Status != "" {
			if e := c.reply(it.ref, reply); e != nil && err == nil {
				err = e
			}
		}
		return err != nil, err
	case itemOut:
		err := c.guard(func() error { return c.handler.HandleOut(ctx, c, it.event, it.payload) })
		return err != nil, err
	case itemInfo:
		err := c.guard(func() error { return c.handler.HandleInfo(ctx, c, it.msg) })
		return err != nil, err
	case itemLeave:
		_ = c.reply(it.ref, Reply{Status: "ok", Response: EmptyObject})
		return true, ErrLeft
	default:
		return true, it.msg.(error)
	}
}

func (c *Channel) join(ctx context.Context, it *item) (done bool, reason error) {
	if c.decided != nil {
		defer close(c.decided)
	}
	if c.prev != nil {
		c.prev.awaitEnd(ctx)
	}
	replaced := c.prev != nil && c.prev.muted.Load()
	var response Payload
	err := c.guard(func() (err error) {
		response, err = c.handler.Join(ctx, c, it.payload)
		return err
	})
	if err == nil {
		c.accept()
		err = c.reply(it.ref, Reply{Status: "ok", Response: response})
		if c.follower != nil {
			c.startFollowing()
		}
	} else {
		err = c.refuse(it.ref, err)
	}
	if c.reserved > 0 {
		c.socket.reserved.Add(-int64(c.reserved))
	}
	if replaced {
		c.socket.control(c.prev.joinRef, c.topic, "phx_close", EmptyObject)
	}
	c.prev = nil
	return err != nil, err
}

// accept subscribes the channel: after Join returned, before its reply.
func (c *Channel) accept() {
	c.terminate = true
	c.intercepts = c.handler.Intercepts()
	c.joined.Store(true)
	c.mu.Lock()
	if c.state == stateJoining {
		c.state = stateJoined
	}
	c.mu.Unlock()
	s := &subscription{topic: c.topic, channel: c, member: true, version: c.socket.version, follows: c.follower != nil}
	if t, ok := c.socket.transport.(*webSocket); ok && len(c.intercepts) == 0 {
		s.direct = t.conn
	}
	c.subscribe(s)
}

// errNotAccepted ends a channel whose join failed; the client has its answer.
var errNotAccepted = errors.New("join not accepted")

func (c *Channel) refuse(ref []byte, err error) error {
	var rejection *Rejection
	var unencodable *UnencodableError
	switch {
	case errors.As(err, &rejection):
		if err := c.reply(ref, Reply{Status: "error", Response: rejection.Response}); err != nil {
			c.Log().Error("join rejection not sent", "error", err)
		}
	case errors.As(err, &unencodable):
		c.Log().Error("the reply to a join cannot be encoded: connection closed", "error", err)
		c.socket.transport.close(closeInternalError)
	default:
		c.socket.engine.metrics.crashes.Inc()
		c.logCrash("join crashed", err)
		_ = c.reply(ref, Reply{Status: "error", Response: Payload{Data: []byte(`{"reason":"join crashed"}`)}})
	}
	return errNotAccepted
}

// end runs Terminate and tells the client. It is the last thing that the
// channel's goroutine does; rest is what it took from the mailbox and did not
// work on.
func (c *Channel) end(reason error, rest []item) {
	c.mu.Lock()
	c.state = max(c.state, stateEnding)
	if c.deadline != nil {
		c.deadline.Stop()
	}
	c.mu.Unlock()
	if c.muted.Load() {
		reason = ErrReplaced
	}
	if c.terminate {
		ctx, cancel := context.WithTimeout(c.socket.engine.base, c.socket.engine.cfg.ShutdownTimeout)
		if err := c.guard(func() error { c.handler.Terminate(ctx, c, reason); return nil }); err != nil {
			c.logCrash("terminate crashed", err)
		}
		cancel()
	}
	c.detach()
	c.socket.remove(c)
	switch {
	case !c.terminate || c.muted.Load():
	case graceful(reason):
		c.socket.control(c.joinRef, c.topic, "phx_close", EmptyObject)
	default:
		c.socket.engine.metrics.crashes.Inc()
		c.logCrash("channel crashed", reason)
		c.socket.control(c.joinRef, c.topic, "phx_error", Payload{Data: []byte(`{"reason":"channel_crash"}`)})
	}

	c.mu.Lock()
	rest = append(rest, c.queue...)
	c.queue, c.current, c.state = nil, nil, stateEnded
	ended := c.ended
	c.mu.Unlock()
	c.release(rest)
	if !c.terminate { // the join failed: what was pushed meanwhile finds no channel
		for i := range rest {
			c.socket.afterEnd(&rest[i], c)
		}
	}
	if ended != nil {
		close(ended)
	}
	c.socket.engine.channelEnded()
}

// awaitEnd waits for the channel's end, ShutdownTimeout at most; then it is
// abandoned: its handler may still be running, but reaches nobody.
func (c *Channel) awaitEnd(ctx context.Context) {
	c.mu.Lock()
	if c.state == stateEnded {
		c.mu.Unlock()
		return
	}
	if c.ended == nil {
		c.ended = make(chan struct{})
	}
	ended := c.ended
	c.mu.Unlock()
	timeout := time.NewTimer(c.socket.engine.cfg.ShutdownTimeout)
	defer timeout.Stop()
	select {
	case <-ended:
	case <-ctx.Done():
	case <-timeout.C:
		c.Log().Warn("a channel did not end in time; abandoned")
		c.muted.Store(true)
		c.cancelRun()
		c.detach()
	}
}

// detach takes the channel out of everything that could reach it.
func (c *Channel) detach() {
	wasJoined := c.joined.Swap(false)
	c.unsubscribeAll()
	if wasJoined && c.told.CompareAndSwap(false, true) {
		if err := c.guard(func() error { c.handler.Ended(); return nil }); err != nil {
			c.logCrash("ended crashed", err)
		}
	}
}

// Joined reports whether the channel is joined and has not ended.
func (c *Channel) Joined() bool { return c.joined.Load() }

// guard turns a panic into the channel's crash.
func (c *Channel) guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return f()
}

func (c *Channel) subscribe(s *subscription) {
	c.mu.Lock()
	c.subs = append(c.subs, s)
	c.mu.Unlock()
	c.socket.engine.hub.subscribe(s)
}

func (c *Channel) unsubscribeAll() {
	c.mu.Lock()
	subs := c.subs
	c.subs = nil
	c.mu.Unlock()
	for _, s := range subs {
		c.socket.engine.hub.unsubscribe(s)
	}
}

// Log is the logger of this channel.
func (c *Channel) Log() *slog.Logger {
	return c.socket.engine.log.With("topic", c.topic, "socket_id", c.socket.id)
}

func (c *Channel) logCrash(what string, err error) {
	log := c.Log()
	var p *PanicError
	if errors.As(err, &p) {
		log = log.With("stack", string(p.Stack))
	}
	log.Error(what, "error", err)
}

// send puts a frame on the connection's outbound queue.
func (c *Channel) send(f *wire.Frame) error {
	if c.muted.Load() {
		return ErrNotJoined
	}
	c.socket.send(f)
	return nil
}

func (c *Channel) reply(ref []byte, r Reply) error {
	if c.muted.Load() {
		return ErrNotJoined
	}
	return c.socket.trySendReply(c.joinRef, ref, c.topic, r)
}
