package sock

import (
	"errors"
	"fmt"
)

// CloseKind says which side ended a connection, and how.
type CloseKind int

const (
	// PeerClosed: the client sent a Close frame; Code is its code, 1005 if it
	// gave none.
	PeerClosed CloseKind = iota + 1
	// LocalClosed: Close was called; Code is the code sent.
	LocalClosed
	// IdleClosed: nothing came from the client for IdleTimeout; 1000 was sent.
	IdleClosed
	// TooLarge: a message exceeded the read limit; 1009 was sent.
	TooLarge
	// ProtocolError: the client broke RFC 6455; 1002 was sent.
	ProtocolError
	// TooSlow: the outbound queue exceeded its bound in bytes or made no
	// progress for StallTimeout; the connection was reset.
	TooSlow
	// Disconnected: the connection ended without a Close frame: the client cut
	// it, the network did, or Abort was called.
	Disconnected
	// Shutdown: the pool ended and reset the connection.
	Shutdown
)

var kindNames = [...]string{
	PeerClosed:    "closed by the client",
	LocalClosed:   "closed by the server",
	IdleClosed:    "idle for too long",
	TooLarge:      "message too large",
	ProtocolError: "protocol error",
	TooSlow:       "client reads too slowly",
	Disconnected:  "disconnected",
	Shutdown:      "server shut down",
}

func (k CloseKind) String() string {
	if k <= 0 || int(k) >= len(kindNames) {
		return fmt.Sprintf("CloseKind(%d)", int(k))
	}
	return kindNames[k]
}

// ErrAborted is the cause of a connection that ended by Abort.
var ErrAborted = errors.New("aborted")

// CloseError is why a connection ended; HandleClose always gets one.
type CloseError struct {
	Kind CloseKind
	// Code is the close code (RFC 6455, section 7.4) sent or received: 1006
	// where there was no Close frame, 1005 for one without a code.
	Code int
	// Err is the underlying error; may be nil.
	Err error
}

func (e *CloseError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("websocket: %s (%d)", e.Kind, e.Code)
	}
	return fmt.Sprintf("websocket: %s (%d): %v", e.Kind, e.Code, e.Err)
}

func (e *CloseError) Unwrap() error { return e.Err }
