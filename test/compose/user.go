package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

const (
	topic       = "room:lobby"
	hearTimeout = 10 * time.Second
)

// user is one browser in the lobby. It speaks version 2 of the protocol:
// [join_ref, ref, topic, event, payload].
type user struct {
	name string
	conn *websocket.Conn
	refs int
}

type frame struct {
	event   string
	payload json.RawMessage
}

func (f *frame) UnmarshalJSON(data []byte) error {
	return json.Unmarshal(data, &[]any{nil, nil, nil, &f.event, &f.payload})
}

// join connects to the node at base and joins the lobby.
func join(ctx context.Context, base, name string) (*user, error) {
	tok, err := token(ctx, base, name)
	if err != nil {
		return nil, err
	}
	query := url.Values{"vsn": {"2.0.0"}, "token": {tok}}
	conn, _, err := websocket.Dial(ctx, base+"/socket/websocket?"+query.Encode(), nil)
	if err != nil {
		return nil, fmt.Errorf("%s at %s: %w", name, base, err)
	}
	u := &user{name: name, conn: conn}
	if err := u.push(ctx, "phx_join", struct{}{}); err != nil {
		u.close()
		return nil, err
	}
	if _, err := u.await(ctx, "phx_reply"); err != nil {
		u.close()
		return nil, err
	}
	return u, nil
}

// say sends a chat message. Its answer may come before or after the message
// itself, so await checks it on the way.
func (u *user) say(ctx context.Context, body string) error {
	return u.push(ctx, "new_msg", map[string]string{"body": body})
}

func (u *user) push(ctx context.Context, event string, payload any) error {
	u.refs++
	ctx, cancel := context.WithTimeout(ctx, hearTimeout)
	defer cancel()
	if err := wsjson.Write(ctx, u.conn, []any{"1", strconv.Itoa(u.refs), topic, event, payload}); err != nil {
		return fmt.Errorf("%s: %s: %w", u.name, event, err)
	}
	return nil
}

// hear waits for an event of the lobby, with this body unless it is "".
func (u *user) hear(ctx context.Context, event, body string) error {
	f, err := u.await(ctx, event)
	if err != nil {
		return err
	}
	var payload struct{ Body string }
	if err := json.Unmarshal(f.payload, &payload); err != nil {
		return fmt.Errorf("%s: %s: %w", u.name, event, err)
	}
	if body != "" && payload.Body != body {
		return fmt.Errorf("%s heard %q, want %q", u.name, payload.Body, body)
	}
	return nil
}

// await reads until an event comes; an answer other than ok is an error.
func (u *user) await(ctx context.Context, event string) (frame, error) {
	ctx, cancel := context.WithTimeout(ctx, hearTimeout)
	defer cancel()
	for {
		var f frame
		if err := wsjson.Read(ctx, u.conn, &f); err != nil {
			return frame{}, fmt.Errorf("%s waits for %s: %w", u.name, event, err)
		}
		if f.event == "phx_reply" {
			var reply struct{ Status string }
			if err := json.Unmarshal(f.payload, &reply); err != nil || reply.Status != "ok" {
				return frame{}, fmt.Errorf("%s: answer: %.200s", u.name, f.payload)
			}
		}
		if f.event == event {
			return f, nil
		}
	}
}

func (u *user) close() { _ = u.conn.CloseNow() }
