package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/trunkline/trunkline"
)

// HandleIn has one clause for each event of the fixture.
func (r *Room) HandleIn(ctx context.Context, s *trunkline.Socket, event string, p trunkline.Payload) (trunkline.Reply, error) {
	none := trunkline.NoReply
	switch event {
	case "new_msg":
		return none, s.Broadcast("new_msg", p)
	case "new_msg_ack":
		return trunkline.OK(nil), s.Broadcast("new_msg", p)
	case "typing":
		return none, s.BroadcastFrom("typing", p)
	case "ping":
		return trunkline.OK(p), nil
	case "ack":
		return trunkline.OK(nil), nil
	case "fail":
		return trunkline.Fail(object{"reason": "nope"}), nil
	case "fail_plain":
		return trunkline.Fail(nil), nil
	case "custom_status":
		return trunkline.Status("weird", object{"a": 1}), nil
	case "crash":
		panic("raised in handle_in")
	case "badreturn":
		return none, errBadReturn
	case "badbroadcast":
		return none, s.Broadcast("bad", object{"f": func() {}})
	case "stop":
		return none, trunkline.Normal
	case "stop_shutdown":
		return none, trunkline.Shutdown
	case "stop_shutdown_tuple":
		return none, trunkline.ShutdownReason("bye")
	case "stop_reply":
		return trunkline.OK(p), trunkline.Normal
	case "stop_error":
		return none, errBoom
	case "stop_later":
		return trunkline.OK(nil), s.Send(stopLater{stopReason(p)})
	case "noop":
		return none, nil
	case "idle":
		s.SendAfter(50*time.Millisecond, idle{})
		return none, nil
	case "push_me":
		return none, s.Push("pushed", p)
	case "push_and_reply":
		if err := s.Push("pushed", p); err != nil {
			return none, err
		}
		return trunkline.OK(p), s.Broadcast("bcast", p)
	case "bin", "bin_len", "bin_err", "bin_bcast", "bin_push":
		return r.binary(s, event, p)
	case "filtered", "leaving_soon":
		return none, s.Broadcast(event, p)
	case "async":
		return none, async(s, p)
	case "other", "other_from", "subscribe":
		return r.topic(s, event, p)
	}
	return r.presence(ctx, s, event, p)
}

func stopReason(p trunkline.Payload) error {
	var v struct{ Normal bool }
	if p.Decode(&v) == nil && v.Normal {
		return trunkline.Normal
	}
	return errBoom
}

// binary answers the events that want bytes; only "bin" takes JSON too.
func (r *Room) binary(s *trunkline.Socket, event string, p trunkline.Payload) (trunkline.Reply, error) {
	data, ok := p.Binary()
	if !ok && event != "bin" {
		return trunkline.NoReply, errUnknownEvent(event)
	}
	switch event {
	case "bin_len":
		return trunkline.OK(object{"size": len(data)}), nil
	case "bin_err":
		return trunkline.Fail(data), nil
	case "bin_bcast":
		return trunkline.NoReply, s.Broadcast("bin_bcast", data)
	case "bin_push":
		return trunkline.NoReply, s.Push("bin_push", data)
	}
	if ok {
		return trunkline.OK(data), nil
	}
	var v any
	if err := p.Decode(&v); err != nil {
		return trunkline.NoReply, err
	}
	text, err := json.Marshal(v)
	return trunkline.OK(trunkline.Binary(append([]byte("text:"), text...))), err
}

// async answers 100 ms later, as often as it was asked to.
func async(s *trunkline.Socket, p trunkline.Payload) error {
	ref, err := s.Ref()
	if err != nil {
		return err
	}
	v := struct{ Times int }{Times: 1}
	_ = p.Decode(&v)
	time.AfterFunc(100*time.Millisecond, func() {
		for i := range v.Times {
			_ = s.Reply(ref, trunkline.OK(object{"async": true, "i": i + 1}))
		}
	})
	return nil
}

// topic does something on another topic.
func (r *Room) topic(s *trunkline.Socket, event string, p trunkline.Payload) (trunkline.Reply, error) {
	var v struct{ Topic string }
	if err := p.Decode(&v); err != nil {
		return trunkline.NoReply, err
	}
	switch event {
	case "other":
		return trunkline.NoReply, r.srv.Broadcast(v.Topic, "other", p)
	case "other_from":
		return trunkline.NoReply, s.BroadcastFromTo(v.Topic, "other", p)
	default:
		return trunkline.OK(nil), s.Subscribe(v.Topic)
	}
}
