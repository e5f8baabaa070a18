package realtime

import (
	"errors"
	"net/http"

	"github.com/trunkline/trunkline/internal/sock"
	"github.com/trunkline/trunkline/internal/wire"
)

// serveWebSocket checks in Phoenix's order: method, origin, authToken,
// subprotocol, connect, and the upgrade headers last.
func (m *Mount) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if m.engine.Draining() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if !originAllowed(m.opts.Origin, r) {
		m.engine.log.Warn("connection refused: origin not allowed", "mount", m.path, "origin", r.Header.Get("Origin"))
		m.refuse(w)
		return
	}
	offered := offeredProtocols(r)
	var authToken string
	if m.opts.AuthToken {
		var err error
		if authToken, offered, err = takeAuthToken(offered); err != nil {
			m.connectFailed(w, r, err)
			return
		}
	}
	protocol, ok := m.negotiate(offered)
	if !ok {
		m.refuse(w)
		return
	}
	if protocol != "" {
		w.Header().Set("Sec-WebSocket-Protocol", protocol)
	}
	s, err := m.connect(r, authToken)
	if err != nil {
		m.connectFailed(w, r, err)
		return
	}
	if body, ok := sock.CheckUpgrade(r); !ok {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(body))
		return
	}
	w.Header().Del("Sec-WebSocket-Protocol") // Accept sets it
	conn, err := m.engine.pool.Accept(w, r, sock.AcceptOptions{
		Subprotocol: protocol,
		ReadLimit:   m.opts.MaxFrame,
		IdleTimeout: m.opts.Timeout,
	})
	if err != nil {
		m.engine.log.Warn("upgrade failed", "mount", m.path, "error", err)
		return
	}
	t := &webSocket{conn: conn, socket: s}
	s.transport = t
	if err := m.engine.addSocket(s); err != nil {
		conn.Close(closeServiceRestart, "")
	}
	conn.Start(t)
}

func (m *Mount) refuse(w http.ResponseWriter) {
	m.engine.metrics.refused.Inc()
	w.WriteHeader(http.StatusForbidden)
}

// connectFailed answers a refusal or a crash of Connect.
func (m *Mount) connectFailed(w http.ResponseWriter, r *http.Request, err error) {
	var crash *PanicError
	switch {
	case errors.As(err, &crash):
		internalServerError(w)
	case errors.Is(err, ErrRefused):
		m.refuse(w)
	default:
		m.engine.metrics.refused.Inc()
		m.opts.OnError(w, r, err)
	}
}

// webSocket is the WebSocket transport of a socket.
type webSocket struct {
	conn   *sock.Conn
	socket *Socket
}

func (t *webSocket) send(f *wire.Frame, batch *sock.Batch) bool {
	if batch == nil {
		return t.conn.Send(f.WebSocket())
	}
	return t.conn.Post(f.WebSocket(), batch)
}

func (t *webSocket) sendOnce(f *wire.Frame) (kept bool) {
	_, kept = t.conn.SendOnce(f.WebSocket())
	return kept
}

func (t *webSocket) waiting() int   { return t.conn.Queued() }
func (t *webSocket) close(code int) { t.conn.Close(code, "") }
func (t *webSocket) abort()         { t.conn.Abort() }

// HandleMessage is called by the connection, one message at a time. A frame
// that cannot be decoded ends this connection only.
func (t *webSocket) HandleMessage(data []byte, binary bool) {
	err := t.socket.handleFrame(data, binary)
	switch {
	case err == nil:
	case errors.Is(err, wire.ErrUTF8):
		t.conn.Close(closeInvalidPayload, "")
	default:
		t.socket.engine.log.Info("connection closed: bad frame", "socket_id", t.socket.id, "error", err)
		t.conn.Close(closeInternalError, "")
	}
}

// HandleClose is called by the connection when it is gone.
func (t *webSocket) HandleClose(error) { t.socket.terminate(ErrClosed) }
