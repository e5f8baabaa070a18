package sock

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coder/websocket"
)

// Handler gets what happens on a connection. Its calls never overlap.
type Handler interface {
	// HandleMessage gets one whole message; data is valid only during the call.
	// UTF-8 of text is not checked. It may block: the client is not read
	// meanwhile, other connections are. A panic closes the connection with 1011.
	HandleMessage(data []byte, binary bool)

	// HandleClose is called exactly once, as soon as the end is certain and the
	// last HandleMessage has returned, on a goroutine of its own. Frames sent
	// before may still be on their way. err is a *CloseError.
	HandleClose(err error)
}

// Conn is one WebSocket connection. All methods may be called from any
// goroutine.
type Conn struct {
	pool   *Pool
	counts *counters
	index  int // in Pool.conns, guarded by Pool.mu
	idle   time.Duration

	ws  *websocket.Conn
	br  *bufio.Reader // the library's
	nc  net.Conn
	raw syscall.RawConn // nil for the plain path

	// Times of Pool.now, for the sweeper.
	lastSeen  atomic.Int64 // of the last byte from the client
	blockedAt atomic.Int64 // of the last progress of a blocked write; 0: none
	closeBy   atomic.Int64 // when a closing connection is reset; 0: not closing

	in inbound

	mu       sync.Mutex // guards the following
	handler  Handler
	handling bool        // HandleMessage is running
	told     bool        // HandleClose has been started
	cause    *CloseError // why the connection ends; nil while open

	writing     bool // somebody writes to the network
	closeQueued bool // a Close frame was sent or is queued: nothing may follow
	broken      bool // the network connection is closed or about to be
	peerDone    bool // the client's Close frame has come
	draining    bool // the client's bytes make no sense any more
	finSent     bool
	batched     bool // in a Batch that is still to be written
	queue       frameQueue
	queued      int // bytes in queue, and those the flusher has taken from it
}

// attach sets the network connection and what has been read from it, and
// returns what the library shall see as its connection.
func (c *Conn) attach(nc net.Conn, first []byte) (*libConn, error) {
	c.nc = nc
	c.in.unread = bytes.Clone(first)
	if tcp, ok := nc.(*net.TCPConn); ok {
		raw, err := tcp.SyscallConn()
		if err != nil {
			return nil, fmt.Errorf("raw connection: %w", err)
		}
		c.raw = raw
		c.in.tryRead = c.tryRead
	}
	return (*libConn)(c), nil
}

// Start begins reading. It must be called exactly once for every accepted
// connection, also for one that is to be closed at once.
func (c *Conn) Start(h Handler) {
	c.mu.Lock()
	c.handler = h
	c.tellLocked() // it may have ended meanwhile
	c.mu.Unlock()
	// add has counted this goroutine in Pool.wg, remove does at its end.
	if c.raw != nil {
		go c.wait()
	} else {
		go c.servePlain()
	}
}

// RemoteAddr returns the address of the client.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// Close sends what is queued and then a Close frame, waits for the client's
// Close frame and closes the connection; CloseTimeout bounds all of it. It
// returns at once. No message is handled after it. A connection that is ending
// already is left alone. reason has at most 123 bytes, more is cut.
func (c *Conn) Close(code int, reason string) {
	c.closeWith(&CloseError{Kind: LocalClosed, Code: code}, reason)
}

func (c *Conn) closeWith(cause *CloseError, reason string) bool {
	if !c.end(cause) {
		return false
	}
	c.send(closeFrame(cause.Code, reason), true)
	return true
}

// Abort resets the connection now; what is queued is lost.
func (c *Conn) Abort() {
	c.reset(&CloseError{Kind: Disconnected, Code: codeAbnormal, Err: ErrAborted})
}

// end notes why the connection ends, and tells the handler unless it is
// running. It reports false if the connection was ending already.
func (c *Conn) end(cause *CloseError) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.endLocked(cause)
}

func (c *Conn) endLocked(cause *CloseError) bool {
	if c.cause != nil {
		return false
	}
	c.cause = cause
	c.tellLocked()
	return true
}

func (c *Conn) tellLocked() {
	if c.cause == nil || c.told || c.handling || c.handler == nil {
		return
	}
	c.told = true
	h, cause := c.handler, c.cause
	c.pool.wg.Go(func() { h.HandleClose(cause) })
}

// reset cuts the connection without a Close frame and without sending what is
// queued. It reports false if that had been done already.
func (c *Conn) reset(cause *CloseError) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.resetLocked(cause)
}

func (c *Conn) resetLocked(cause *CloseError) bool {
	if c.broken {
		return false
	}
	c.breakLocked()
	c.endLocked(cause)
	c.pool.wg.Go(func() { cut(c.nc) })
	return true
}

func (c *Conn) resetUnlessClosing() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closeQueued {
		c.resetLocked(&CloseError{Kind: Shutdown, Code: codeAbnormal})
	}
}

func (c *Conn) breakLocked() {
	c.broken = true
	c.queue = frameQueue{}
	c.queued = 0
	c.blockedAt.Store(0)
}

// cut closes nc so that a TCP peer sees a reset.
func cut(nc net.Conn) {
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
		nc = t.NetConn() // TLS would send an alert first, and wait
	}
	if tcp, ok := nc.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = nc.Close()
}

// settle goes on with a closing handshake when all has been written.
func (c *Conn) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writing || !c.closeQueued || c.broken {
		return
	}
	half, canHalfClose := c.nc.(interface{ CloseWrite() error })
	switch {
	case c.peerDone, c.draining && !canHalfClose:
		c.breakLocked()
		c.pool.wg.Go(func() { _ = c.nc.Close() })
	case c.draining && !c.finSent:
		// Closing now, with bytes of the client unread, would be a reset, which
		// may overtake our Close frame: send a FIN and read on until its own.
		c.finSent = true
		c.pool.wg.Go(func() { _ = half.CloseWrite() })
	}
}

// release ends everything: called by the connection's own goroutine, last.
func (c *Conn) release() {
	c.mu.Lock()
	c.breakLocked()
	c.endLocked(&CloseError{Kind: Disconnected, Code: codeAbnormal, Err: c.in.err})
	c.mu.Unlock()
	_ = c.nc.Close()
	_ = c.ws.CloseNow()
	c.pool.remove(c)
}

func (c *Conn) isHandling() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.handling
}
