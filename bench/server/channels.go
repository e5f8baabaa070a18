package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/trunkline/trunkline"
)

// tokenSalt is what the sockets' tokens are signed with.
const tokenSalt = "user socket"

// mount adds the socket and the channels of all kinds of traffic.
func mount(srv *trunkline.Server) {
	srv.Socket("/socket", trunkline.SocketOptions{
		Connect: func(_ context.Context, r *trunkline.ConnectRequest) (trunkline.Session, error) {
			id, err := srv.VerifyUserToken(tokenSalt, r.Param("token"), 24*time.Hour)
			if err != nil {
				return trunkline.Session{}, err
			}
			return trunkline.Session{ID: "user:" + id, Assigns: id}, nil
		},
	})
	srv.Channel("e:*", func() trunkline.Channel { return &ephemeral{} })
	srv.Channel("d:*", func() trunkline.Channel { return &durable{} })
	srv.Channel("to:*", func() trunkline.Channel { return &publisher{srv: srv} })
	srv.Channel("p:*", func() trunkline.Channel { return &member{} })
	srv.Durable("d:*", trunkline.HistoryOptions{})
}

// ephemeral broadcasts and echoes.
type ephemeral struct{}

func (*ephemeral) Join(context.Context, *trunkline.Socket, trunkline.Payload) (any, error) {
	return nil, nil
}

func (*ephemeral) HandleIn(_ context.Context, s *trunkline.Socket, event string, p trunkline.Payload) (trunkline.Reply, error) {
	switch event {
	case "b":
		return trunkline.NoReply, s.Broadcast("m", p)
	case "echo":
		return trunkline.OK(p), nil
	}
	return trunkline.NoReply, fmt.Errorf("no such event: %q", event)
}

// burst broadcasts several messages with consecutive numbers. what is their
// count and the topic, with a colon between.
func burst(srv *trunkline.Server, what string, p trunkline.Payload) error {
	count, topic, _ := strings.Cut(what, ":")
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	var first struct {
		Number string `json:"q"`
		Body   string `json:"body"`
	}
	if err := p.Decode(&first); err != nil {
		return err
	}
	number, err := strconv.Atoi(first.Number)
	if err != nil {
		return err
	}
	for i := range n {
		payload := fmt.Appendf(nil, `{"q":"%010d","body":"%s"}`, number+i, first.Body)
		if err := srv.Broadcast(topic, "m", json.RawMessage(payload)); err != nil {
			return err
		}
	}
	return nil
}

// durable is a subscriber.
type durable struct{}

func (*durable) Join(context.Context, *trunkline.Socket, trunkline.Payload) (any, error) {
	return nil, nil
}

// publisher sends to the topic that the event names, so that its client need not
// join all of them.
type publisher struct{ srv *trunkline.Server }

func (*publisher) Join(context.Context, *trunkline.Socket, trunkline.Payload) (any, error) {
	return nil, nil
}

func (c *publisher) HandleIn(ctx context.Context, _ *trunkline.Socket, event string, p trunkline.Payload) (trunkline.Reply, error) {
	if strings.HasPrefix(event, "d:") {
		return trunkline.Published(c.srv.Publish(ctx, event, "m", p)), nil
	}
	if what, ok := strings.CutPrefix(event, "burst:"); ok {
		return trunkline.NoReply, burst(c.srv, what, p)
	}
	return trunkline.NoReply, c.srv.Broadcast(event, "m", p)
}

// member is present in its topic.
type member struct{}

// joined is what a member sends itself.
type joined struct{ key string }

func (*member) Join(_ context.Context, s *trunkline.Socket, params trunkline.Payload) (any, error) {
	var p struct {
		Key string `json:"key"`
	}
	if err := params.Decode(&p); err != nil {
		return nil, err
	}
	return nil, s.Send(joined{p.Key})
}

func (*member) HandleInfo(ctx context.Context, s *trunkline.Socket, msg any) error {
	j, ok := msg.(joined)
	if !ok {
		return nil
	}
	if _, err := s.Track(j.key, map[string]any{"online_at": time.Now().Unix()}); err != nil {
		return err
	}
	return s.Push("presence_state", s.PresenceState(ctx))
}
