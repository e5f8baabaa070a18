package trunkline

import (
	"errors"

	"github.com/trunkline/trunkline/internal/pubsub"
	"github.com/trunkline/trunkline/internal/realtime"
)

// A handler that returns an error ends its channel. Normal and Shutdown end it
// gracefully (the client gets phx_close and does not rejoin); any other error
// is a crash of that channel alone (phx_error: the client rejoins). Terminate
// gets the reason.
var (
	// Normal ends a channel gracefully, Phoenix's {:stop, :normal}.
	Normal = realtime.ErrNormal
	// Shutdown is Phoenix's :shutdown; errors.Is(reason, Shutdown) holds for
	// every graceful reason below and for ShutdownReason.
	Shutdown = realtime.ErrShutdown
)

// Reasons that Terminate sees when the channel did not end by itself.
var (
	// Left: the client left the topic.
	Left = realtime.ErrLeft
	// Closed: the connection closed, was lost, timed out or was disconnected.
	Closed = realtime.ErrClosed
	// Disconnected: the server disconnected a long-polling session.
	Disconnected = realtime.ErrDisconnected
	// Inactive: a long-polling session was no longer polled.
	Inactive = realtime.ErrInactive
	// Draining: the node is stopping.
	Draining = realtime.ErrDraining
	// Replaced: the client joined the topic again on the same socket.
	Replaced = realtime.ErrReplaced
)

// ShutdownReason is a graceful end with a reason of the application's own,
// Phoenix's {:shutdown, reason}.
func ShutdownReason(reason string) error { return realtime.Shutdown(reason) }

// Errors of calls on Socket and Server.
var (
	// ErrNotJoined: push, broadcast and reply need a joined channel. It is also
	// returned once the channel has ended.
	ErrNotJoined = realtime.ErrNotJoined
	// ErrNoRef: the client's push carried no ref.
	ErrNoRef = realtime.ErrNoRef
	// ErrMailboxFull: too many messages wait for the channel.
	ErrMailboxFull = realtime.ErrMailboxFull
	// ErrTooLarge: a broadcast is too large for the other nodes. Local
	// subscribers got it.
	ErrTooLarge = pubsub.ErrTooLarge
)

// ErrRefused is returned by Connect to refuse a connection without a reason:
// 403, and SocketOptions.OnError is not asked.
var ErrRefused = realtime.ErrRefused

// ErrBadAuthToken is what SocketOptions.OnError gets when the client's
// authToken is not base64; the application's Connect was not asked.
var ErrBadAuthToken = realtime.ErrBadAuthToken

type rejection struct{ response any }

func (r *rejection) Error() string { return "join rejected" }

// Reject is returned by Join to refuse it; the client gets response with status
// "error".
func Reject(response any) error { return &rejection{response: response} }

// rejected turns a *rejection into the engine's.
func rejected(err error) error {
	var r *rejection
	if !errors.As(err, &r) {
		return err
	}
	p, encodeErr := encode(r.response)
	if encodeErr != nil {
		return encodeErr
	}
	return &realtime.Rejection{Response: p}
}
