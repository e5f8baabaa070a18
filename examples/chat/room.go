package chat

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/trunkline/trunkline"
)

const (
	lobby         = "room:lobby"
	privatePrefix = "room:private:"
	// privatePassword is no secret: the page shows how a join is refused.
	privatePassword = "secret"
	// maxBody is the longest message in characters.
	maxBody = 4000
)

// reason is the response of most refusals.
type reason struct {
	Reason string `json:"reason"`
}

// fieldErrors is the response to bad input: messages by field.
type fieldErrors struct {
	Errors map[string][]string `json:"errors"`
}

func fieldError(field, message string) fieldErrors {
	return fieldErrors{Errors: map[string][]string{field: {message}}}
}

// room is one user's membership of a room.
type room struct {
	srv   *trunkline.Server
	allow func(userID, topic string) bool
	user  user

	presence     presence
	typingTimer  *time.Timer // nil before the first
	typingEvents int
}

// Join lets everybody into the lobby, those who know the password into private
// rooms, and into other rooms whom the application lets. The parameter device,
// such as "phone", is shown to the others.
func (r *room) Join(_ context.Context, s *trunkline.Socket, params trunkline.Payload) (any, error) {
	r.user = userOf(s)
	if why := r.refusal(s.Topic(), params); why != "" {
		return nil, trunkline.Reject(reason{why})
	}
	var p struct {
		Device string `json:"device"`
	}
	if params.Decode(&p) != nil || len(p.Device) > maxDevice {
		return nil, trunkline.Reject(fieldError("device", fmt.Sprintf("should be a string of at most %d byte(s)", maxDevice)))
	}
	r.presence = presence{OnlineAt: time.Now().Unix(), Device: p.Device, Name: r.user.id}
	return nil, s.Send(afterJoin{})
}

// refusal is why the user may not enter, or "".
func (r *room) refusal(topic string, params trunkline.Payload) string {
	if topic == lobby {
		return ""
	}
	if id, ok := strings.CutPrefix(topic, privatePrefix); ok && id != "" {
		var p struct {
			Password string `json:"password"`
		}
		if params.Decode(&p) != nil || p.Password != privatePassword {
			return "bad password"
		}
		return ""
	}
	if !r.allow(r.user.id, topic) {
		return "unauthorized"
	}
	return ""
}

// HandleIn answers an unknown event with an error. In Phoenix it crashes the
// channel, unless the application has such a clause.
func (r *room) HandleIn(ctx context.Context, s *trunkline.Socket, event string, p trunkline.Payload) (trunkline.Reply, error) {
	switch event {
	case "new_msg":
		if err := r.setTyping(s, false); err != nil {
			return trunkline.NoReply, err
		}
		return r.newMsg(ctx, s, p), nil
	case "edit_msg":
		return r.editMsg(ctx, s, p), nil
	case "delete_msg":
		return r.deleteMsg(ctx, s, p), nil
	case "summarise":
		return trunkline.Offload(trunkline.Job{Args: summariseArgs{Topic: s.Topic()}}), nil
	case "typing":
		return r.typing(s, p)
	case "ping":
		return trunkline.OK(p), nil
	}
	return trunkline.Fail(reason{"unknown event"}), nil
}

// bodyProblem words refusals as Ecto does; "" is none.
func bodyProblem(body string) string {
	if strings.TrimSpace(body) == "" {
		return "can't be blank"
	}
	if utf8.RuneCountInString(body) > maxBody {
		return fmt.Sprintf("should be at most %d character(s)", maxBody)
	}
	return ""
}
