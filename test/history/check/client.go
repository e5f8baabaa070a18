package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/trunkline/trunkline/test/harness"
)

const (
	dialTimeout    = 5 * time.Second
	heartbeatEvery = 10 * time.Second
	// replyTimeout is how long a client waits for any answer before it takes
	// its connection for dead, as phoenix.js does by default.
	replyTimeout = 10 * time.Second

	heartbeatTopic = "phoenix"

	receiveBuffer = 16 << 10
)

var errNoReply = errors.New("no reply in time")

// A client is one connection of a Phoenix client. Its callbacks run on one
// goroutine, in the order of the frames.
type client struct {
	ctx     context.Context // ends with the connection, at latest
	end     context.CancelCauseFunc
	ws      *websocket.Conn
	gate    *gate
	onEvent func(message) error // an error ends the connection

	mu       sync.Mutex
	lastRef  int
	joinRefs map[string]string // by topic
	pending  map[string]pending
	working  sync.WaitGroup
}

type pending struct {
	since   time.Time
	vital   bool              // without an answer the connection is dead
	onReply func(reply) error // an error ends the connection
}

// dialer makes connections with a small receive buffer, so that the server soon
// feels that a client does not read.
var dialer = &http.Client{Transport: &http.Transport{
	DisableKeepAlives: true,
	DialContext:       (&net.Dialer{Control: limitReceiveBuffer}).DialContext,
}}

// dial connects. run has to be called then.
func dial(ctx context.Context, address, token string, g *gate, onEvent func(message) error) (*client, error) {
	dialing, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	ws, _, err := websocket.Dial(dialing, "ws://"+address+"/socket/websocket?vsn=2.0.0&token="+url.QueryEscape(token),
		&websocket.DialOptions{HTTPClient: dialer})
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(-1)
	c := &client{ws: ws, gate: g, onEvent: onEvent, joinRefs: map[string]string{}, pending: map[string]pending{}}
	c.ctx, c.end = context.WithCancelCause(ctx)
	return c, nil
}

// run reads until the connection ends, and returns why. All that the client has
// started has ended then.
func (c *client) run() error {
	c.working.Go(c.keepAlive)
	c.end(c.read())
	_ = c.ws.CloseNow() // it may have ended
	c.working.Wait()
	return context.Cause(c.ctx)
}

func (c *client) read() error {
	for c.gate.pass(c.ctx) {
		kind, frame, err := c.ws.Read(c.ctx)
		if err != nil {
			return err
		}
		if kind != websocket.MessageText {
			return fmt.Errorf("binary frame %.20x", frame)
		}
		m, err := harness.DecodeFrame(frame)
		if err == nil {
			err = c.handle(m)
		}
		if err != nil {
			return err
		}
	}
	return c.ctx.Err()
}

func (c *client) handle(m message) error {
	if m.Event != "phx_reply" {
		return c.onEvent(m)
	}
	c.mu.Lock()
	waiting, ok := c.pending[m.Ref]
	delete(c.pending, m.Ref)
	c.mu.Unlock()
	if !ok {
		return nil // nobody waits any more
	}
	var r reply
	if err := json.Unmarshal(m.Payload, &r); err != nil {
		return fmt.Errorf("reply %.200q: %w", m.Payload, err)
	}
	return waiting.onReply(r)
}

// keepAlive sends heartbeats, and ends the connection when a reply is overdue.
func (c *client) keepAlive() {
	var last time.Time
	for c.gate.pass(c.ctx) && harness.Pause(c.ctx, time.Second) {
		if c.overdue() {
			c.end(errNoReply)
			return
		}
		if time.Since(last) < heartbeatEvery {
			continue
		}
		last = time.Now()
		if err := c.push(heartbeatTopic, "heartbeat", object{}, func(reply) error { return nil }); err != nil {
			c.end(err)
			return
		}
	}
}

// overdue is whether a vital reply has not come in time. A client that reads again
// after a pause gives the server time anew.
func (c *client) overdue() bool {
	since := c.gate.openSince()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.pending {
		if !p.vital {
			continue
		}
		from := p.since
		if since.After(from) {
			from = since
		}
		if time.Since(from) > replyTimeout {
			return true
		}
	}
	return false
}

// push sends a message. onReply gets the answer, if one comes; a join and a
// heartbeat must have one.
func (c *client) push(topic, event string, payload any, onReply func(reply) error) error {
	c.mu.Lock()
	c.lastRef++
	ref := strconv.Itoa(c.lastRef)
	if event == "phx_join" {
		c.joinRefs[topic] = ref
	}
	joinRef := c.joinRefs[topic]
	c.pending[ref] = pending{time.Now(), event == "phx_join" || event == "heartbeat", onReply}
	c.mu.Unlock()
	frame, err := harness.EncodeFrame(joinRef, ref, topic, event, payload)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.ctx, replyTimeout)
	defer cancel()
	return c.ws.Write(ctx, websocket.MessageText, frame)
}

// later runs f after a while, unless the connection ends before. To be called
// from callbacks only.
func (c *client) later(d time.Duration, f func() error) {
	c.working.Go(func() {
		if harness.Pause(c.ctx, d) {
			if err := f(); err != nil {
				c.end(err)
			}
		}
	})
}
