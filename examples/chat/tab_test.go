package chat

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/trunkline/trunkline"
)

// tab is a connection to the demo and what it knows of who is in a room.
type tab struct {
	t         *testing.T
	conn      *websocket.Conn
	presences trunkline.Presences // as of presence_state and what followed it
}

func openTab(t *testing.T, address, token string) *tab {
	t.Helper()
	conn, code, err := dial(t, address, token)
	if err != nil {
		t.Fatalf("dial: %v (%d)", err, code)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	return &tab{t: t, conn: conn}
}

func (c *tab) close() { _ = c.conn.CloseNow() }

func (c *tab) push(topic, event, payload string) {
	c.t.Helper()
	frame, err := json.Marshal([]any{"1", "1", topic, event, json.RawMessage(payload)})
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Second)
	defer cancel()
	if err := c.conn.Write(ctx, websocket.MessageText, frame); err != nil {
		c.t.Fatal(err)
	}
}

// next returns the next message, after it has been applied to presences.
func (c *tab) next() (event string, payload json.RawMessage) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	_, data, err := c.conn.Read(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := json.Unmarshal(data, &[]any{nil, nil, nil, &event, &payload}); err != nil {
		c.t.Fatalf("%s: %v", data, err)
	}
	switch event {
	case "presence_state":
		c.presences = nil // Unmarshal would keep what is there
		err = json.Unmarshal(payload, &c.presences)
	case "presence_diff":
		var diff trunkline.PresenceDiff
		if err = json.Unmarshal(payload, &diff); c.presences != nil {
			c.presences.Apply(diff)
		}
	}
	if err != nil {
		c.t.Fatalf("%s: %v", data, err)
	}
	return event, payload
}

// reply skips to the next reply.
func (c *tab) reply() (status, response string) {
	c.t.Helper()
	for {
		event, payload := c.next()
		if event != "phx_reply" {
			continue
		}
		var body struct {
			Status   string
			Response json.RawMessage
		}
		if err := json.Unmarshal(payload, &body); err != nil {
			c.t.Fatal(err)
		}
		return body.Status, string(body.Response)
	}
}

func (c *tab) join(topic, params string) (status, response string) {
	c.t.Helper()
	c.push(topic, "phx_join", params)
	return c.reply()
}

// enter joins and reads up to the list of who is there.
func (c *tab) enter(topic, params string) {
	c.t.Helper()
	if status, response := c.join(topic, params); status != "ok" {
		c.t.Fatalf("join %s: %s %s", topic, status, response)
	}
	for c.presences == nil {
		c.next()
	}
}

// meta is what is shown of one tab.
type meta struct {
	presence
	Ref  string `json:"phx_ref"`
	Prev string `json:"phx_ref_prev"`
}

func (c *tab) metas(user string) []meta {
	c.t.Helper()
	var metas []meta
	var errs []error
	for _, data := range c.presences[user].Metas {
		var m meta
		errs = append(errs, json.Unmarshal(data, &m))
		metas = append(metas, m)
	}
	if err := errors.Join(errs...); err != nil {
		c.t.Fatal(err)
	}
	return metas
}

// sees reads until what is shown of user is as wanted.
func (c *tab) sees(user string, want func(metas []meta) bool) []meta {
	c.t.Helper()
	for !want(c.metas(user)) {
		c.next()
	}
	return c.metas(user)
}
