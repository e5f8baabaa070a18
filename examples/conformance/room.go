package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trunkline/trunkline"
)

// Room is the fixture's main channel.
type Room struct {
	srv    *trunkline.Server
	user   string
	device any  // shown in presence
	trap   bool // as if the channel trapped exits and ignored them
}

type object = map[string]any

// Messages of a room to itself.
type (
	welcome   struct{}
	idle      struct{}
	stopLater struct{ reason error }
)

// errBoom is the reason :boom, errBadReturn what Phoenix raises when a callback
// returns nonsense.
var (
	errBoom      = errors.New("boom")
	errBadReturn = errors.New("bad return value")
)

// errUnknownEvent stands for Elixir's function clause error.
type errUnknownEvent string

func (e errUnknownEvent) Error() string { return fmt.Sprintf("no clause for event %q", string(e)) }

// Join decides by the topic.
func (r *Room) Join(ctx context.Context, s *trunkline.Socket, params trunkline.Payload) (any, error) {
	r.user = s.Assigns().(user).id
	var p struct {
		Password string
		Trap     bool
		Device   any
	}
	_ = params.Decode(&p) // params may be any JSON value
	r.trap = p.Trap
	_, room, _ := strings.Cut(s.Topic(), ":")
	switch {
	case room == "denied":
		return nil, trunkline.Reject(object{"reason": "unauthorized"})
	case strings.HasPrefix(room, "private:"):
		if p.Password != "secret" {
			return nil, trunkline.Reject(object{"reason": "bad password"})
		}
	case room == "crash":
		panic("raised in join")
	case room == "badreturn":
		return nil, errBadReturn
	case room == "reply":
		return object{"user": r.user, "params": params}, nil
	case room == "slow":
		time.Sleep(300 * time.Millisecond)
	case room == "joinpush":
		return nil, s.Send(welcome{})
	case strings.HasPrefix(room, "p:"):
		return nil, s.Send(afterJoin{p.Device})
	}
	return nil, nil
}

// HandleInfo ignores what it does not know.
func (r *Room) HandleInfo(ctx context.Context, s *trunkline.Socket, msg any) error {
	switch msg := msg.(type) {
	case welcome:
		return s.Push("welcome", object{"n": 1})
	case idle:
		return s.Push("idle", object{})
	case afterJoin:
		return r.appear(ctx, s, msg.device)
	case stopLater:
		return msg.reason
	}
	return nil
}

// Intercepts lists the events that HandleOut decides on.
func (r *Room) Intercepts() []string { return []string{"filtered", "leaving_soon"} }

// HandleOut filters by user, or pushes and stops.
func (r *Room) HandleOut(_ context.Context, s *trunkline.Socket, event string, p trunkline.Payload) error {
	if event == "leaving_soon" {
		return errors.Join(s.Push(event, p), trunkline.Normal)
	}
	var payload object
	if err := p.Decode(&payload); err != nil {
		return err
	}
	to, _ := payload["to"].([]any)
	if !slices.Contains(to, any(r.user)) {
		return nil
	}
	payload["seen_by"] = r.user
	return s.Push(event, payload)
}

// Terminate tells the watchers why a channel ended.
func (r *Room) Terminate(ctx context.Context, s *trunkline.Socket, reason error) {
	if errors.Is(reason, trunkline.Replaced) {
		if r.trap {
			<-ctx.Done()
		}
		return // an exit signal runs no terminate
	}
	if s.Topic() == "room:watch" {
		return
	}
	_ = r.srv.Broadcast("room:watch", "terminated", object{
		"topic": s.Topic(), "user": r.user, "reason": inspect(reason),
	})
}

// inspect writes a reason as Elixir does.
func inspect(reason error) string {
	var p *trunkline.PanicError
	var unknown errUnknownEvent
	switch {
	case errors.Is(reason, trunkline.Normal):
		return ":normal"
	case errors.Is(reason, trunkline.Shutdown):
		if why, ok := strings.CutPrefix(reason.Error(), "shutdown: "); ok {
			return "{:shutdown, :" + why + "}"
		}
		return ":shutdown"
	case errors.Is(reason, errBoom):
		return ":boom"
	case errors.As(reason, &p), errors.Is(reason, errBadReturn):
		return "exception RuntimeError"
	case errors.As(reason, &unknown):
		return "error :function_clause"
	default:
		return "exception Protocol.UndefinedError"
	}
}
