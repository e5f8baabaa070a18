package sock

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// AcceptOptions are what differs between the mounts of one server.
type AcceptOptions struct {
	// Subprotocol is answered as it is; "" answers none. Negotiation is the
	// caller's.
	Subprotocol string
	// ReadLimit and IdleTimeout override the pool's if not 0.
	ReadLimit   int64
	IdleTimeout time.Duration
}

// libraryBuffer is the size of the bufio buffers that the library keeps for
// each connection, the smallest that bufio allows: ours are pooled.
const libraryBuffer = 16

// Accept upgrades a request that CheckUpgrade found right and whose origin and
// credentials the caller has checked. On success the HTTP handler must call
// Start, once, and return; it must use neither w nor r's context any more. On
// failure the response has been written.
func (p *Pool) Accept(w http.ResponseWriter, r *http.Request, o AcceptOptions) (*Conn, error) {
	if p.isClosed() {
		http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
		return nil, ErrPoolClosed
	}
	c := &Conn{pool: p, idle: p.cfg.IdleTimeout}
	if o.IdleTimeout != 0 {
		c.idle = o.IdleTimeout
	}
	if o.Subprotocol != "" {
		w.Header().Set("Sec-WebSocket-Protocol", o.Subprotocol)
	}
	ws, err := websocket.Accept(&hijacker{w, c}, r, &websocket.AcceptOptions{
		InsecureSkipVerify: true, // the caller has its own origin policy
		CompressionMode:    websocket.CompressionDisabled,
		OnPingReceived:     c.onPing,
		OnPongReceived:     c.onPong,
	})
	if err != nil {
		if c.nc != nil {
			_ = c.nc.Close()
		}
		return nil, fmt.Errorf("upgrade to WebSocket: %w", err)
	}
	c.ws = ws
	ws.SetReadLimit(p.cfg.ReadLimit)
	if o.ReadLimit > 0 {
		ws.SetReadLimit(o.ReadLimit)
	}
	c.lastSeen.Store(p.now())
	if !p.add(c) {
		// Nobody counts this connection: nothing may be started for it.
		c.mu.Lock()
		c.breakLocked()
		c.mu.Unlock()
		_ = c.nc.Close()
		_ = ws.CloseNow()
		return nil, ErrPoolClosed
	}
	p.sweepFor(c.idle)
	return c, nil
}

// hijacker gives the library our connection and small buffers instead of
// net/http's.
type hijacker struct {
	http.ResponseWriter
	c *Conn
}

func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, brw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	// The client may have sent frames right behind the handshake: net/http has
	// read them already.
	first, err := brw.Peek(brw.Reader.Buffered())
	if err != nil {
		_ = nc.Close()
		return nil, nil, fmt.Errorf("read what followed the handshake: %w", err)
	}
	lib, err := h.c.attach(nc, first)
	if err != nil {
		_ = nc.Close()
		return nil, nil, err
	}
	h.c.br = bufio.NewReaderSize(lib, libraryBuffer)
	return lib, bufio.NewReadWriter(h.c.br, bufio.NewWriterSize(lib, libraryBuffer)), nil
}
