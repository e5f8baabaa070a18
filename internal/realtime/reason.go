package realtime

import (
	"errors"
	"fmt"
)

// A channel ends with one of these reasons, or with the error that its handler
// returned. ErrNormal and everything that wraps ErrShutdown is a graceful end
// (the client gets phx_close); any other error is a crash (phx_error).
var (
	// ErrNormal is Phoenix's :normal.
	ErrNormal = errors.New("normal")
	// ErrShutdown is Phoenix's :shutdown.
	ErrShutdown = errors.New("shutdown")
	// ErrLeft: the client left the topic.
	ErrLeft = Shutdown("left")
	// ErrClosed: the connection closed, was lost or timed out.
	ErrClosed = Shutdown("closed")
	// ErrDisconnected: a long-polling session was disconnected by the server.
	ErrDisconnected = Shutdown("disconnected")
	// ErrInactive: a long-polling session was not polled for too long.
	ErrInactive = Shutdown("inactive")
	// ErrDraining: the node is shutting down.
	ErrDraining = Shutdown("draining")
	// ErrReplaced: the client joined the same topic again on the same socket.
	ErrReplaced = Shutdown("replaced by a duplicate join")
)

// ShutdownError is a graceful end with a reason, Phoenix's {:shutdown, reason}.
type ShutdownError struct{ Reason string }

func (e *ShutdownError) Error() string { return "shutdown: " + e.Reason }

// Is makes every ShutdownError match ErrShutdown.
func (e *ShutdownError) Is(target error) bool { return target == ErrShutdown }

// Shutdown returns a graceful reason.
func Shutdown(reason string) error { return &ShutdownError{Reason: reason} }

// PanicError is the reason of a channel whose handler panicked.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Rejection is returned by Handler.Join to refuse the join; Response goes to
// the client as the error reply.
type Rejection struct{ Response Payload }

func (r *Rejection) Error() string { return "join rejected" }

// UnencodableError says that a handler's result cannot be put on the wire. As
// in Phoenix, where the connection's own process encodes the reply to a join,
// it ends the connection when Join returned it, and the channel otherwise.
type UnencodableError struct{ Err error }

func (e *UnencodableError) Error() string { return "cannot encode: " + e.Err.Error() }
func (e *UnencodableError) Unwrap() error { return e.Err }

// Errors of the calls that handlers and the application make.
var (
	// ErrNotJoined: push, broadcast and reply need a joined channel.
	ErrNotJoined = errors.New("the channel is not joined")
	// ErrNoRef: the client's push carried no ref, so nothing can be replied to.
	ErrNoRef = errors.New("the push has no ref to reply to")
	// ErrMailboxFull: the channel has MailboxSize messages waiting.
	ErrMailboxFull = errors.New("the channel's mailbox is full")
	// ErrHistoryReset ends a channel whose durable topic was restored from a
	// backup, or lost messages in a failover.
	ErrHistoryReset = errors.New("the topic's history was reset")
	// ErrStopped: the server is shutting down.
	ErrStopped = errors.New("the server is stopped")
)

// graceful reports whether a channel that ends with reason closes rather than
// crashes.
func graceful(reason error) bool {
	return errors.Is(reason, ErrNormal) || errors.Is(reason, ErrShutdown)
}
