package chat

import (
	"context"
	"fmt"
	"strings"
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
}

// Join lets everybody into the lobby, those who know the password into private
// rooms, and into other rooms whom the application lets.
func (r *room) Join(_ context.Context, s *trunkline.Socket, params trunkline.Payload) (any, error) {
	r.user = userOf(s)
	topic := s.Topic()
	if topic == lobby {
		return nil, nil
	}
	if id, ok := strings.CutPrefix(topic, privatePrefix); ok && id != "" {
		var p struct {
			Password string `json:"password"`
		}
		if params.Decode(&p) != nil || p.Password != privatePassword {
			return nil, trunkline.Reject(reason{"bad password"})
		}
		return nil, nil
	}
	if !r.allow(r.user.id, topic) {
		return nil, trunkline.Reject(reason{"unauthorized"})
	}
	return nil, nil
}

// HandleIn answers an unknown event with an error. In Phoenix it crashes the
// channel, unless the application has such a clause.
func (r *room) HandleIn(ctx context.Context, s *trunkline.Socket, event string, p trunkline.Payload) (trunkline.Reply, error) {
	switch event {
	case "new_msg":
		return r.newMsg(ctx, s, p), nil
	case "edit_msg":
		return r.editMsg(ctx, s, p), nil
	case "delete_msg":
		return r.deleteMsg(ctx, s, p), nil
	case "typing":
		return trunkline.NoReply, s.BroadcastFrom("typing", map[string]string{"user_id": r.user.id})
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
