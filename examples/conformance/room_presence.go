package main

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/trunkline/trunkline"
)

// afterJoin is a room's message to itself to show who is there.
type afterJoin struct{ device any }

// appear tracks the user and shows who is there.
func (r *Room) appear(ctx context.Context, s *trunkline.Socket, device any) error {
	r.device = device
	if _, err := s.Track(r.user, object{"device": device, "status": "online"}); err != nil {
		return err
	}
	return s.Push("presence_state", s.PresenceState(ctx))
}

// presence has the clauses of HandleIn that are about presence.
func (r *Room) presence(ctx context.Context, s *trunkline.Socket, event string, p trunkline.Payload) (trunkline.Reply, error) {
	var in struct {
		Status any
		Meta   object
		Key    json.RawMessage
	}
	if err := p.Decode(&in); err != nil {
		return trunkline.NoReply, err
	}
	key := strings.Trim(string(in.Key), `"`) // an integer key becomes a string
	switch event {
	case "status":
		_, err := s.UpdateFunc(r.user, func(meta map[string]any) map[string]any {
			meta["status"] = in.Status
			return meta
		})
		return trunkline.OK(nil), err
	case "status_replace":
		_, err := s.Update(r.user, in.Meta)
		return trunkline.OK(nil), err
	case "status_missing":
		_, err := s.Update("missing", object{})
		if !errors.Is(err, trunkline.ErrNoPresence) {
			return trunkline.NoReply, err
		}
		return trunkline.OK(object{"result": "{:error, :nopresence}"}), nil
	case "leave_presence":
		s.Untrack(r.user)
		return trunkline.OK(nil), nil
	case "track_again":
		_, err := s.Track(r.user, object{"device": r.device, "status": "again"})
		if errors.Is(err, trunkline.ErrAlreadyTracked) {
			return trunkline.Fail(object{"result": "already_tracked", "topic": s.Topic(), "key": r.user}), nil
		}
		return trunkline.OK(object{"result": "ok"}), err
	case "track_key":
		_, err := s.Track(key, in.Meta)
		return trunkline.OK(nil), err
	case "list":
		return trunkline.OK(s.Presences(ctx)), nil
	case "get_by_key":
		if entry, ok := r.srv.PresenceByKey(ctx, s.Topic(), key); ok {
			return trunkline.OK(object{"r": entry}), nil
		}
		return trunkline.OK(object{"r": []any{}}), nil
	}
	return trunkline.NoReply, errUnknownEvent(event)
}
