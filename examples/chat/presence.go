package chat

import (
	"context"
	"errors"
	"time"

	"github.com/trunkline/trunkline"
)

const (
	// maxDevice is the longest name of a device in bytes.
	maxDevice = 40
	// typingLasts from the last event; the page sends one every 2 s.
	typingLasts = 4 * time.Second
)

// presence is what others see of one channel of a user: of one tab.
type presence struct {
	OnlineAt int64  `json:"online_at"` // in Unix seconds
	Typing   bool   `json:"typing"`
	Device   string `json:"device"` // as the client names it, or ""
	Name     string `json:"name"`
}

// What a room tells itself.
type (
	afterJoin struct{}
	// typingOver ends the typing that began with event number event.
	typingOver struct{ event int }
)

// HandleInfo shows the user to the room after the join, and ends typing.
func (r *room) HandleInfo(ctx context.Context, s *trunkline.Socket, msg any) error {
	switch msg := msg.(type) {
	case afterJoin:
		if _, err := s.Track(r.user.id, r.presence); err != nil {
			return err
		}
		return s.Push("presence_state", s.PresenceState(ctx))
	case typingOver:
		if msg.event == r.typingEvents {
			return r.setTyping(s, false)
		}
	}
	return nil
}

// typing tells the others that the user types, until a message, an event with
// "typing": false, or typingLasts of silence.
func (r *room) typing(s *trunkline.Socket, p trunkline.Payload) (trunkline.Reply, error) {
	in := struct{ Typing bool }{Typing: true}
	if p.Decode(&in) != nil {
		return trunkline.Fail(fieldError("typing", "is invalid")), nil
	}
	if in.Typing {
		if err := s.BroadcastFrom("typing", map[string]string{"user_id": r.user.id}); err != nil {
			return trunkline.NoReply, err
		}
	}
	return trunkline.NoReply, r.setTyping(s, in.Typing)
}

func (r *room) setTyping(s *trunkline.Socket, typing bool) error {
	if r.typingTimer != nil {
		r.typingTimer.Stop()
	}
	r.typingEvents++ // what an earlier timer has sent already is late
	if typing {
		r.typingTimer = s.SendAfter(typingLasts, typingOver{r.typingEvents})
	}
	if r.presence.Typing == typing {
		return nil
	}
	r.presence.Typing = typing
	_, err := s.Update(r.user.id, r.presence)
	if errors.Is(err, trunkline.ErrNoPresence) {
		return nil // came before afterJoin, which tracks what is set here
	}
	return err
}
