package chat

import (
	"context"
	"time"

	"github.com/trunkline/trunkline"
)

// message is what every member of the room gets, and what is stored.
type message struct {
	Body   string    `json:"body"`
	UserID string    `json:"user_id"`
	At     time.Time `json:"at"`
	// EditedAt is when the author changed it last, absent when never.
	EditedAt time.Time `json:"edited_at,omitzero"`
}

// now is precise enough for people.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// newMsg stores a message; its id is the reply.
func (r *room) newMsg(ctx context.Context, s *trunkline.Socket, p trunkline.Payload) trunkline.Reply {
	var in struct {
		Body string `json:"body"`
	}
	if p.Decode(&in) != nil {
		return trunkline.Fail(fieldError("body", "is invalid"))
	}
	if problem := bodyProblem(in.Body); problem != "" {
		return trunkline.Fail(fieldError("body", problem))
	}
	return trunkline.Published(s.Publish(ctx, "new_msg", message{Body: in.Body, UserID: r.user.id, At: now()}))
}

// editMsg replaces the body of a message of the user's own.
func (r *room) editMsg(ctx context.Context, s *trunkline.Socket, p trunkline.Payload) trunkline.Reply {
	var in struct {
		ID   int64  `json:"id"`
		Body string `json:"body"`
	}
	if p.Decode(&in) != nil {
		return trunkline.Fail(fieldError("id", "is invalid"))
	}
	if problem := bodyProblem(in.Body); problem != "" {
		return trunkline.Fail(fieldError("body", problem))
	}
	old, refusal := r.own(ctx, s, in.ID)
	if refusal != nil {
		return *refusal
	}
	old.Body, old.EditedAt = in.Body, now()
	return trunkline.Published(s.UpdateMessage(ctx, in.ID, old))
}

// deleteMsg deletes a message of the user's own.
func (r *room) deleteMsg(ctx context.Context, s *trunkline.Socket, p trunkline.Payload) trunkline.Reply {
	var in struct {
		ID int64 `json:"id"`
	}
	if p.Decode(&in) != nil {
		return trunkline.Fail(fieldError("id", "is invalid"))
	}
	if _, refusal := r.own(ctx, s, in.ID); refusal != nil {
		return *refusal
	}
	return trunkline.Published(s.DeleteMessage(ctx, in.ID))
}

// own returns a message that the user may change, or the refusal.
func (r *room) own(ctx context.Context, s *trunkline.Socket, id int64) (message, *trunkline.Reply) {
	refuse := func(why string) (message, *trunkline.Reply) {
		reply := trunkline.Fail(reason{why})
		return message{}, &reply
	}
	found, _, err := r.srv.Messages(ctx, s.Topic(), id-1, 1)
	switch {
	case err != nil:
		return refuse("history is not available, try again")
	case len(found) == 0 || found[0].ID != id || found[0].Deleted || found[0].Event != "new_msg":
		return refuse("no such message")
	}
	var m message
	if err := found[0].Payload.Decode(&m); err != nil || m.UserID != r.user.id {
		return refuse("unauthorized")
	}
	return m, nil
}
