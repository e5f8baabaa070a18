package main

import (
	"context"
	"time"

	"github.com/trunkline/trunkline"
)

// crowdChannels is how many topics one client of a crowd may watch.
const crowdChannels = 200

// mountCrowd adds what no transcript has: topics whose clients say by which key
// they are present, so that many may be, and that only some want the list. Some
// topics have a grace period.
func mountCrowd(srv *trunkline.Server, grace time.Duration) {
	socket := srv.Socket("/crowd", trunkline.SocketOptions{Connect: anonymous, MaxChannels: crowdChannels})
	crowd := func() trunkline.Channel { return &Crowd{} }
	socket.Channel("crowd:*", crowd)
	socket.Channel("patient:*", crowd)
	srv.Presence("patient:*", trunkline.PresenceOptions{Grace: grace})
}

// Crowd is a client's membership of such a topic.
type Crowd struct{ params crowdParams }

// crowdParams of a join. Without a key the client is not present.
type crowdParams struct {
	Key     string
	Meta    object
	Observe bool // push presence_state
}

// Join lets everybody in.
func (c *Crowd) Join(_ context.Context, s *trunkline.Socket, p trunkline.Payload) (any, error) {
	if err := p.Decode(&c.params); err != nil {
		return nil, trunkline.Reject(object{"reason": "bad params"})
	}
	return nil, s.Send(c.params)
}

// HandleInfo does what the join has asked for.
func (c *Crowd) HandleInfo(ctx context.Context, s *trunkline.Socket, _ any) error {
	if c.params.Key != "" {
		if _, err := s.Track(c.params.Key, c.params.Meta); err != nil {
			return err
		}
	}
	if c.params.Observe {
		return s.Push("presence_state", s.PresenceState(ctx))
	}
	return nil
}

// HandleIn replaces the meta, or lists who is there.
func (c *Crowd) HandleIn(ctx context.Context, s *trunkline.Socket, event string, p trunkline.Payload) (trunkline.Reply, error) {
	switch event {
	case "update":
		var meta object
		if err := p.Decode(&meta); err != nil {
			return trunkline.NoReply, err
		}
		_, err := s.Update(c.params.Key, meta)
		return trunkline.OK(nil), err
	case "list":
		return trunkline.OK(s.Presences(ctx)), nil
	}
	return trunkline.NoReply, errUnknownEvent(event)
}
