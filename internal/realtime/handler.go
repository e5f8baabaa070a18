package realtime

import (
	"context"

	"github.com/trunkline/trunkline/internal/wire"
)

// Payload is a message's payload: JSON text or bytes.
type Payload = wire.Payload

// EmptyObject is the payload {}.
var EmptyObject = Payload{Data: []byte("{}")}

// Handler is the application's side of one channel, made anew for each join.
// Its methods never run at the same time. ctx ends when the node shuts down, or
// ShutdownTimeout after the connection was lost.
type Handler interface {
	// Join decides on the join. A *Rejection is the application's refusal, any
	// other error a crash ("join crashed").
	Join(ctx context.Context, c *Channel, params Payload) (Payload, error)
	// HandleIn handles a client's push. The reply is sent even when an error is
	// returned; the error ends the channel.
	HandleIn(ctx context.Context, c *Channel, event string, p Payload) (Reply, error)
	// HandleOut handles a broadcast of an intercepted event.
	HandleOut(ctx context.Context, c *Channel, event string, p Payload) error
	// HandleInfo handles a message sent with Channel.Send, or a *Broadcast of a
	// topic that the channel subscribed to.
	HandleInfo(ctx context.Context, c *Channel, msg any) error
	// Terminate runs once after a successful Join, when the channel ends.
	Terminate(ctx context.Context, c *Channel, reason error)
	// Ended is called once after Terminate, when nothing more can reach the
	// channel or its client. It may be called while another method has not
	// returned, when the channel was abandoned.
	Ended()
	// Intercepts lists the events that go to HandleOut; asked once, after Join.
	Intercepts() []string
}

// Reply is the answer to a push. A Reply without Status is none.
type Reply struct {
	Status   string
	Response Payload
}

// Route leads the topics that match Pattern to handlers.
type Route struct {
	Pattern Pattern
	New     func() Handler
}
