package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

const frameTimeout = 20 * time.Second

// lobby is a client's connection that has joined a topic.
type lobby struct {
	t    *testing.T
	conn *websocket.Conn
}

// join connects to a node with a token and joins a topic.
func join(t *testing.T, n node, token, topic string) lobby {
	t.Helper()
	l, status := tryJoin(t, n, token, topic)
	if status != "ok" {
		t.Fatalf("join of %s was answered %q", topic, status)
	}
	return l
}

// tryJoin returns the join's answer as well.
func tryJoin(t *testing.T, n node, token, topic string) (l lobby, status string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), frameTimeout)
	defer cancel()
	query := url.Values{"vsn": {"2.0.0"}, "token": {strings.TrimSpace(token)}}
	conn, _, err := websocket.Dial(ctx, n.url()+"/socket/websocket?"+query.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	l = lobby{t, conn}
	if err := wsjson.Write(ctx, conn, []any{"1", "1", topic, "phx_join", struct{}{}}); err != nil {
		t.Fatal(err)
	}
	var answer struct{ Status string }
	if err := json.Unmarshal(l.hear("phx_reply"), &answer); err != nil {
		t.Fatal(err)
	}
	return l, answer.Status
}

// hear waits for an event and returns its payload.
func (l lobby) hear(event string) json.RawMessage {
	l.t.Helper()
	for {
		e, payload, err := l.read()
		if err != nil {
			l.t.Fatalf("waiting for %s: %v", event, err)
		}
		if e == event {
			return payload
		}
	}
}

// closed waits until the server closes the connection, and returns the code.
func (l lobby) closed() websocket.StatusCode {
	l.t.Helper()
	for {
		if _, _, err := l.read(); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

func (l lobby) read() (event string, payload json.RawMessage, err error) {
	ctx, cancel := context.WithTimeout(l.t.Context(), frameTimeout)
	defer cancel()
	var frame [5]json.RawMessage
	if err := wsjson.Read(ctx, l.conn, &frame); err != nil {
		return "", nil, err
	}
	if err := json.Unmarshal(frame[3], &event); err != nil {
		return "", nil, fmt.Errorf("event %s: %w", frame[3], err)
	}
	return event, frame[4], nil
}
