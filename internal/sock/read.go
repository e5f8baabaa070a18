package sock

import (
	"context"
	"errors"
	"io"
	"runtime/debug"
	"sync"
	"syscall"

	"github.com/coder/websocket"
)

const (
	pageSize        = 4 << 10
	plainBufferSize = 512
	largestKept     = 64 << 10 // message buffers above it are left to the GC
)

type page [pageSize]byte

// errNoFrame is what the library reads when there is nothing to read and it is
// at the start of a frame: it passes the error on, and can be asked again later.
var errNoFrame = errors.New("no frame")

// inbound is the reading side of a connection. It belongs to the goroutine
// whose turn it is: the connection's own, or the worker that it handed over to.
type inbound struct {
	turn    sync.WaitGroup     // the worker's turn
	tryRead func(uintptr) bool // Conn.tryRead

	page   *page  // pooled, holds unread; nil while idle
	unread []byte // read from the network, not yet by the library
	err    error  // of the network; nothing more can be read

	plain  []byte // read buffer of the plain path
	dst    []byte // where tryRead shall read to; nil: a page
	n      int    // bytes that tryRead read
	noWait bool   // tryRead shall not wait

	atFrameStart bool // the library has read whole frames only
	inMessage    bool // the library has begun a message
	discarding   bool // the library can read no more: what comes is dropped

	outgoing []byte // the start of a frame that the library is writing
}

// wait is the goroutine of an idle connection. Its stack must stay shallow:
// nothing but the wait itself and the hand-over happens on it.
func (c *Conn) wait() {
	for {
		if len(c.in.unread) == 0 {
			c.read(nil)
		}
		c.in.turn.Add(1)
		c.pool.serves.Go(c)
		c.in.turn.Wait()
		if c.in.err != nil {
			c.release()
			return
		}
	}
}

// serve handles all that has been read, and ends the turn; runs on a worker.
func (c *Conn) serve() {
	for !c.in.discarding && (c.in.err != nil || len(c.in.unread) > 0 || c.br.Buffered() > 0) {
		if !c.readMessage() {
			break
		}
	}
	if c.in.discarding {
		c.in.unread = nil
	}
	c.in.turn.Done()
}

// servePlain is the goroutine of a connection that is not a TCP connection.
func (c *Conn) servePlain() {
	c.in.plain = make([]byte, plainBufferSize)
	for !c.in.discarding {
		c.readMessage()
	}
	for c.in.err == nil {
		c.read(nil)
	}
	c.release()
}

// readMessage handles one message. It reports false when there is none, now or
// ever.
func (c *Conn) readMessage() bool {
	typ, r, err := c.ws.Reader(context.Background())
	if err == nil {
		c.in.inMessage = true
		buf := c.pool.messages.Get().(*[]byte)
		*buf, err = readAll(r, (*buf)[:0])
		c.in.inMessage = false
		if err == nil {
			c.handle(*buf, typ == websocket.MessageBinary)
		}
		if cap(*buf) <= largestKept {
			c.pool.messages.Put(buf)
		}
	}
	if err == nil {
		return true
	}
	if !errors.Is(err, errNoFrame) {
		c.readFailed(err)
	}
	return false
}

func readAll(r io.Reader, buf []byte) ([]byte, error) {
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
}

func (c *Conn) handle(data []byte, binary bool) {
	c.mu.Lock()
	if c.cause != nil || c.closeQueued {
		c.mu.Unlock()
		return
	}
	c.handling = true
	h := c.handler
	c.mu.Unlock()
	defer func() {
		if v := recover(); v != nil {
			c.pool.cfg.Logger.Error("websocket handler panicked",
				"remote", c.RemoteAddr().String(), "panic", v, "stack", string(debug.Stack()))
			c.Close(codeInternalError, "")
		}
		c.mu.Lock()
		c.handling = false
		c.tellLocked()
		c.mu.Unlock()
		// A handler that took long must not count as a silent client.
		c.lastSeen.Store(c.pool.now())
	}()
	c.counts.messagesIn.Add(1)
	h.HandleMessage(data, binary)
}

// readFailed ends the connection: the library can read nothing more.
func (c *Conn) readFailed(err error) {
	c.in.discarding = true
	var ce websocket.CloseError
	switch {
	case errors.As(err, &ce):
		c.end(&CloseError{Kind: PeerClosed, Code: int(ce.Code)})
		c.mu.Lock()
		c.peerDone = true
		c.mu.Unlock()
	case errors.Is(err, websocket.ErrMessageTooBig):
		c.fail(&CloseError{Kind: TooLarge, Code: codeTooBig, Err: err})
	case c.in.err != nil:
		c.end(&CloseError{Kind: Disconnected, Code: codeAbnormal, Err: c.in.err})
		return
	default:
		c.fail(&CloseError{Kind: ProtocolError, Code: codeProtocolError, Err: err})
	}
	c.settle()
}

func (c *Conn) fail(cause *CloseError) {
	c.end(cause)
	c.send(closeFrame(cause.Code, ""), true) // refused if the library sent one
	c.mu.Lock()
	c.draining = true
	c.mu.Unlock()
}

// onPing and onPong are called by the library when it has read the whole frame.
// A client that sends nothing but pings must not hold a worker.
func (c *Conn) onPing(context.Context, []byte) bool {
	c.in.atFrameStart = !c.in.inMessage && c.br.Buffered() == 0
	return true
}

func (c *Conn) onPong(ctx context.Context, p []byte) { c.onPing(ctx, p) }

// read reads once from the network, into dst if it is not nil, else into a page
// that becomes in.unread. It sets in.n, or in.err, or neither if there was
// nothing to read and noWait is set.
func (c *Conn) read(dst []byte) {
	if c.in.err != nil {
		return
	}
	c.in.n, c.in.unread = 0, nil
	if c.raw == nil {
		c.readPlain(dst)
	} else {
		c.in.dst = dst
		err := c.raw.Read(c.in.tryRead)
		c.in.dst = nil
		if err != nil {
			c.in.err = err
		}
	}
	if c.in.n > 0 {
		c.in.atFrameStart = false
		c.lastSeen.Store(c.pool.now())
		c.counts.bytesIn.Add(uint64(c.in.n))
	}
}

// tryRead is called by RawConn.Read, again each time the socket has become
// readable, until it returns true. It gives the page back when there is nothing
// to read.
func (c *Conn) tryRead(fd uintptr) bool {
	buf, pg := c.in.dst, c.in.page
	c.in.page = nil
	if buf == nil {
		if pg == nil {
			pg = c.pool.pages.Get().(*page)
		}
		buf = pg[:]
	}
	n, err := syscall.Read(int(fd), buf)
	for err == syscall.EINTR {
		n, err = syscall.Read(int(fd), buf)
	}
	switch {
	case n > 0:
		c.in.n = n
		if c.in.dst == nil {
			c.in.page, c.in.unread = pg, buf[:n]
			return true
		}
	case err == nil:
		c.in.err = io.EOF
	case err != syscall.EAGAIN:
		c.in.err = err
	}
	if pg != nil {
		c.pool.pages.Put(pg)
	}
	return err == nil || err != syscall.EAGAIN || c.in.noWait
}

func (c *Conn) readPlain(dst []byte) {
	buf := dst
	if buf == nil {
		buf = c.in.plain
	}
	n, err := c.nc.Read(buf)
	c.in.n, c.in.err = n, err
	if dst == nil {
		c.in.unread = buf[:n]
	}
}
