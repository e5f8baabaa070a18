package trunkline_test

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/jackc/pgx/v5"

	"github.com/trunkline/trunkline"
	"github.com/trunkline/trunkline/internal/pgtest"
)

// durableRoom stores what its clients push.
type durableRoom struct{}

func (durableRoom) Join(context.Context, *trunkline.Socket, trunkline.Payload) (any, error) {
	return map[string]any{"own": true}, nil
}

func (durableRoom) HandleIn(ctx context.Context, s *trunkline.Socket, event string, p trunkline.Payload) (trunkline.Reply, error) {
	var in struct {
		ID      int64
		Payload map[string]any
	}
	switch event {
	case "edit":
		_ = p.Decode(&in)
		return trunkline.Published(s.UpdateMessage(ctx, in.ID, in.Payload)), nil
	case "delete":
		_ = p.Decode(&in)
		return trunkline.Published(s.DeleteMessage(ctx, in.ID)), nil
	case "typing":
		return trunkline.NoReply, s.Broadcast("typing", p)
	}
	return trunkline.Published(s.Publish(ctx, event, p)), nil
}

// durableServer serves durable rooms on a database of its own.
func durableServer(t *testing.T, o trunkline.HistoryOptions) (srv *trunkline.Server, url, database string) {
	t.Helper()
	database = pgtest.URL(t)
	srv = newServer(database)
	srv.Durable("room:*", o)
	srv.Channel("room:*", func() trunkline.Channel { return durableRoom{} })
	url, stop := start(srv)
	t.Cleanup(stop)
	return srv, url, database
}

type object = map[string]any

// wireClient is a client of serializer 2.0.0.
type wireClient struct {
	t    *testing.T
	conn *websocket.Conn
	ref  int
}

func dialClient(t *testing.T, url, user string) *wireClient {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), strings.Replace(url, "http", "ws", 1)+"/socket/websocket?vsn=2.0.0&user="+user, nil)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(8 << 20)
	t.Cleanup(func() { _ = conn.CloseNow() })
	return &wireClient{t: t, conn: conn}
}

func (c *wireClient) read() (ref any, event string, payload object) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	_, data, err := c.conn.Read(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	var frame []any
	if err := json.Unmarshal(data, &frame); err != nil {
		c.t.Fatal(err)
	}
	return frame[1], frame[3].(string), frame[4].(object)
}

func (c *wireClient) send(event, payload string) string {
	c.t.Helper()
	c.ref++
	ref := fmt.Sprint(c.ref)
	frame := fmt.Sprintf(`["1",%q,"room:1",%q,%s]`, ref, event, payload)
	if err := c.conn.Write(c.t.Context(), websocket.MessageText, []byte(frame)); err != nil {
		c.t.Fatal(err)
	}
	return ref
}

// push sends an event and returns its reply; broadcasts that come before it are
// appended to missed.
func (c *wireClient) push(event, payload string) (status string, response object, before []object) {
	c.t.Helper()
	ref := c.send(event, payload)
	for {
		got, event, p := c.read()
		if got == ref && event == "phx_reply" {
			response, _ = p["response"].(object)
			return p["status"].(string), response, before
		}
		before = append(before, p)
	}
}

func (c *wireClient) join(params string) object {
	c.t.Helper()
	status, response, _ := c.push("phx_join", params)
	if status != "ok" {
		c.t.Fatalf("join refused: %v", response)
	}
	return response
}

// want compares values as JSON does.
func want(t *testing.T, what string, got any, expected string) {
	t.Helper()
	var e any
	if err := json.Unmarshal([]byte(expected), &e); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var g any
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(g, e) {
		t.Errorf("%s: got %s, want %s", what, data, expected)
	}
}

// brief leaves of each message of a reply what can be foretold.
func brief(t *testing.T, messages any) (list []object) {
	t.Helper()
	for _, m := range messages.([]any) {
		entry := m.(object)
		if _, err := time.Parse(time.RFC3339Nano, entry["inserted_at"].(string)); err != nil {
			t.Errorf("inserted_at: %v", err)
		}
		delete(entry, "inserted_at")
		list = append(list, entry)
	}
	return list
}

func publish(t *testing.T, srv *trunkline.Server, n int) {
	t.Helper()
	for i := range n {
		if _, err := srv.Publish(t.Context(), "room:1", "m", object{"n": i + 1}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDurableEvents(t *testing.T) {
	t.Parallel()
	_, url, _ := durableServer(t, trunkline.HistoryOptions{})
	a, b := dialClient(t, url, "a"), dialClient(t, url, "b")
	joined := a.join(`{}`)
	epoch, _ := joined["epoch"].(string)
	if epoch == "" {
		t.Error("no epoch")
	}
	delete(joined, "epoch")
	want(t, "first join", joined, `{"own":true,"messages":[],"last_id":0,"more":false}`)
	b.join(`{}`)

	for id := 1; id <= 3; id++ {
		status, response, before := a.push("m", fmt.Sprintf(`{"n":%d}`, id))
		want(t, "reply", response, fmt.Sprintf(`{"id":%d}`, id))
		if status != "ok" {
			t.Error(status)
		}
		if len(before) == 0 {
			_, _, p := a.read()
			before = append(before, p)
		}
		want(t, "own broadcast", before[0], fmt.Sprintf(`{"id":%d,"n":%d}`, id, id))
		_, event, p := b.read()
		want(t, "broadcast", object{"event": event, "payload": p}, fmt.Sprintf(`{"event":"m","payload":{"id":%d,"n":%d}}`, id, id))
	}
	status, response, _ := a.push("m", `{"id":7}`)
	if status != "error" || !strings.Contains(response["reason"].(string), "reserved") {
		t.Errorf("payload with the id key: %s %v", status, response)
	}
	if _, response, _ := a.push("m", `{"n":4}`); response["id"] != 4.0 {
		t.Errorf("the refused message used an id: %v", response)
	}
}

func TestJoinCatchesUp(t *testing.T) {
	t.Parallel()
	srv, url, _ := durableServer(t, trunkline.HistoryOptions{PageSize: 3})
	publish(t, srv, 5)
	epoch := dialClient(t, url, "x").join(`{}`)["epoch"].(string)
	const one, two, three = `{"id":1,"event":"m","payload":{"id":1,"n":1}}`, `{"id":2,"event":"m","payload":{"id":2,"n":2}}`, `{"id":3,"event":"m","payload":{"id":3,"n":3}}`
	const four, five = `{"id":4,"event":"m","payload":{"id":4,"n":4}}`, `{"id":5,"event":"m","payload":{"id":5,"n":5}}`
	for _, c := range []struct {
		params, expected string
		then             []int // ids that come as events
	}{
		{`{"last_seen_id":3}`, `{"messages":[` + four + `,` + five + `],"last_id":5,"more":false}`, nil},
		{`{"last_seen_id":5}`, `{"messages":[],"last_id":5,"more":false}`, nil},
		{`{"last_seen_id":0}`, `{"messages":[` + one + `,` + two + `,` + three + `],"last_id":3,"more":true}`, []int{4, 5}},
		{`{"last_seen_id":2,"replay":"events"}`, `{"messages":[],"last_id":2,"more":true}`, []int{3, 4, 5}},
		{`{"last":2}`, `{"messages":[` + four + `,` + five + `],"last_id":5,"more":false}`, nil},
		{`{"last":0}`, `{"messages":[],"last_id":5,"more":false}`, nil},
		{`{}`, `{"messages":[],"last_id":5,"more":false}`, nil},
		{`{"last_seen_id":9}`, `{"messages":[` + three + `,` + four + `,` + five + `],"last_id":5,"more":false,"reset":true}`, nil},
		{`{"last_seen_id":4,"epoch":"another"}`, `{"messages":[` + three + `,` + four + `,` + five + `],"last_id":5,"more":false,"reset":true}`, nil},
		{fmt.Sprintf(`{"last_seen_id":4,"epoch":%q}`, epoch), `{"messages":[` + five + `],"last_id":5,"more":false}`, nil},
	} {
		client := dialClient(t, url, "a")
		joined := client.join(c.params)
		if joined["epoch"] != epoch {
			t.Errorf("%s: epoch %v, want %v", c.params, joined["epoch"], epoch)
		}
		delete(joined, "epoch")
		delete(joined, "own")
		if list := brief(t, joined["messages"]); list != nil {
			joined["messages"] = list
		}
		want(t, c.params, joined, c.expected)
		for _, id := range c.then {
			_, event, p := client.read()
			want(t, c.params, object{"event": event, "payload": p}, fmt.Sprintf(`{"event":"m","payload":{"id":%d,"n":%d}}`, id, id))
		}
	}
	for _, params := range []string{`{"last_seen_id":-1}`, `{"last_seen_id":"3"}`, `{"last_seen_id":1.5}`, `{"last":-1}`, `{"replay":"no"}`} {
		status, response, _ := dialClient(t, url, "a").push("phx_join", params)
		if status != "error" || response["reason"] == nil {
			t.Errorf("join with %s: %s %v", params, status, response)
		}
	}
}

func TestHistoryPages(t *testing.T) {
	t.Parallel()
	srv, url, _ := durableServer(t, trunkline.HistoryOptions{PageSize: 3})
	publish(t, srv, 5)
	c := dialClient(t, url, "a")
	c.join(`{}`)
	for _, q := range []struct {
		payload string
		ids     string
		more    bool
	}{
		{`{"before":5,"limit":2}`, "[3 4]", true},
		{`{"before":3}`, "[1 2]", false},
		{`{"before":100}`, "[3 4 5]", true},
		{`{"after":0,"limit":2}`, "[1 2]", true},
		{`{"after":2,"limit":1000}`, "[3 4 5]", false},
		{`{"after":5}`, "[]", false},
	} {
		status, response, _ := c.push("history", q.payload)
		ids := []any{}
		for _, m := range brief(t, response["messages"]) {
			ids = append(ids, m["id"])
		}
		if status != "ok" || fmt.Sprint(ids) != q.ids || response["more"] != q.more {
			t.Errorf("%s: %s %v more %v, want %s more %v", q.payload, status, ids, response["more"], q.ids, q.more)
		}
	}
	for _, bad := range []string{`{}`, `{"before":1,"after":1}`, `{"after":"x"}`, `{"after":1,"limit":0}`, `[]`} {
		if status, response, _ := c.push("history", bad); status != "error" || response["reason"] == nil {
			t.Errorf("%s: %s %v", bad, status, response)
		}
	}
}

func TestIdempotencyKeys(t *testing.T) {
	t.Parallel()
	_, url, _ := durableServer(t, trunkline.HistoryOptions{})
	a := dialClient(t, url, "a")
	a.join(`{}`)
	for _, push := range []struct {
		payload string
		id      float64
	}{{`{"n":1,"key":"k"}`, 1}, {`{"n":1,"key":"k"}`, 1}, {`{"n":2}`, 2}, {`{"n":9,"key":"k"}`, 1}, {`{"n":3,"key":"l"}`, 3}} {
		if _, response, _ := a.push("m", push.payload); response["id"] != push.id {
			t.Errorf("%s: %v, want id %v", push.payload, response, push.id)
		}
	}
	joined := dialClient(t, url, "b").join(`{"last_seen_id":0}`)
	want(t, "stored", brief(t, joined["messages"]), `[{"id":1,"event":"m","payload":{"id":1,"n":1}},
		{"id":2,"event":"m","payload":{"id":2,"n":2}},{"id":3,"event":"m","payload":{"id":3,"n":3}}]`)
	if status, _, _ := a.push("m", `{"n":1,"key":7}`); status != "error" {
		t.Error("a key that is no string was accepted")
	}
}

func TestEditsAndDeletions(t *testing.T) {
	t.Parallel()
	srv, url, _ := durableServer(t, trunkline.HistoryOptions{})
	publish(t, srv, 2)
	c := dialClient(t, url, "a")
	c.join(`{}`)
	c.send("edit", `{"id":1,"payload":{"n":10}}`)
	c.send("delete", `{"id":2}`)
	got := map[string]object{}
	for len(got) < 2 {
		if _, event, p := c.read(); event != "phx_reply" {
			got[event] = p
		}
	}
	want(t, "edit", got["message_updated"], `{"id":3,"message_id":1,"payload":{"n":10}}`)
	want(t, "deletion", got["message_deleted"], `{"id":4,"message_id":2}`)
	joined := dialClient(t, url, "b").join(`{"last_seen_id":0}`)
	want(t, "replay", brief(t, joined["messages"]), `[{"id":1,"event":"m","payload":{"id":1,"n":10}},
		{"id":2,"event":"m","deleted":true},
		{"id":3,"event":"message_updated","payload":{"id":3,"message_id":1,"payload":{"n":10}}},
		{"id":4,"event":"message_deleted","payload":{"id":4,"message_id":2}}]`)
	if _, err := srv.UpdateMessage(t.Context(), "room:1", 2, object{}); err == nil {
		t.Error("a deleted message was edited")
	}
	if _, err := srv.DeleteMessage(t.Context(), "room:1", 99); err == nil {
		t.Error("a message that never was is deleted")
	}
}

func TestSeenAndUnread(t *testing.T) {
	t.Parallel()
	srv, url, _ := durableServer(t, trunkline.HistoryOptions{})
	publish(t, srv, 5)
	c := dialClient(t, url, "a")
	c.join(`{}`)
	for _, s := range []struct {
		id     int
		unread float64
	}{{2, 3}, {1, 3}, {5, 0}} {
		if _, response, _ := c.push("seen", fmt.Sprintf(`{"id":%d}`, s.id)); response["unread"] != s.unread {
			t.Errorf("seen %d: %v, want unread %v", s.id, response, s.unread)
		}
	}
	publish(t, srv, 2)
	unread, err := srv.Unread(t.Context(), "user_socket:a", []string{"room:1", "room:none"})
	if err != nil {
		t.Fatal(err)
	}
	want(t, "unread", unread, `{"room:1":2,"room:none":0}`)
	if status, _, _ := c.push("seen", `{"id":"x"}`); status != "error" {
		t.Error("seen without a number was accepted")
	}
}

func TestPublishingFromTransactions(t *testing.T) {
	t.Parallel()
	srv, url, database := durableServer(t, trunkline.HistoryOptions{})
	c := dialClient(t, url, "a")
	c.join(`{}`)
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()

	rolledBack, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.PublishTx(t.Context(), rolledBack, "room:1", "m", object{"n": "never"}); err != nil {
		t.Fatal(err)
	}
	if err := rolledBack.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	err = pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
		return srv.PublishTx(t.Context(), tx, "room:1", "m", object{"n": "go"})
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `select trunkline.publish('room:1', 'm', '{"n":"sql"}')`); err != nil {
		t.Fatal(err)
	}
	for id, n := range []string{"go", "sql"} {
		_, _, p := c.read()
		want(t, "from a transaction", p, fmt.Sprintf(`{"id":%d,"n":%q}`, id+1, n))
	}
	if _, err := conn.Exec(t.Context(), `select trunkline.broadcast('room:1', 'typing', '{"who":"sql"}')`); err != nil {
		t.Fatal(err)
	}
	_, event, p := c.read()
	want(t, "ephemeral", object{"event": event, "payload": p}, `{"event":"typing","payload":{"who":"sql"}}`)
	if _, err := conn.Exec(t.Context(), `select trunkline.publish('room:1', 'm', '{"id":1}')`); err == nil {
		t.Error("publish() took a payload with the id key")
	}
}

func TestEphemeralEventsOfADurableTopicAreNotStored(t *testing.T) {
	t.Parallel()
	_, url, _ := durableServer(t, trunkline.HistoryOptions{})
	c := dialClient(t, url, "a")
	c.join(`{}`)
	c.send("typing", `{"who":"a"}`)
	_, event, p := c.read()
	want(t, "typing", object{"event": event, "payload": p}, `{"event":"typing","payload":{"who":"a"}}`)
	joined := dialClient(t, url, "b").join(`{"last_seen_id":0}`)
	if joined["last_id"] != 0.0 {
		t.Errorf("stored: %v", joined)
	}
}

func TestTheEpochOfAnEmptyTopicStaysGood(t *testing.T) {
	t.Parallel()
	srv, url, _ := durableServer(t, trunkline.HistoryOptions{})
	epoch := dialClient(t, url, "a").join(`{}`)["epoch"].(string)
	publish(t, srv, 2)
	joined := dialClient(t, url, "a").join(fmt.Sprintf(`{"last_seen_id":1,"epoch":%q}`, epoch))
	if joined["reset"] != nil || len(joined["messages"].([]any)) != 1 {
		t.Errorf("rejoin with the epoch of before the first message: %v", joined)
	}
}

func TestPublishingFromAnotherProcess(t *testing.T) {
	t.Parallel()
	_, url, database := durableServer(t, trunkline.HistoryOptions{})
	c := dialClient(t, url, "a")
	c.join(`{}`)
	p, err := trunkline.Dial(t.Context(), trunkline.Config{DatabaseURL: database})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for range 2 {
		if err := p.Publish(trunkline.WithKey(t.Context(), "k"), "room:1", "m", object{"n": 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Publish(t.Context(), "room:1", "m", object{"n": 2}); err != nil {
		t.Fatal(err)
	}
	for id := 1; id <= 2; id++ {
		_, _, payload := c.read()
		want(t, "published", payload, fmt.Sprintf(`{"id":%d,"n":%d}`, id, id))
	}
}

// What one node has acknowledged, another finds at once.
func TestMessagesOfAnotherNode(t *testing.T) {
	t.Parallel()
	first, _, database := durableServer(t, trunkline.HistoryOptions{})
	second := newServer(database)
	second.Durable("room:*", trunkline.HistoryOptions{})
	_, stop := start(second)
	t.Cleanup(stop)
	for n := range 50 {
		id, err := first.Publish(t.Context(), "room:1", "m", object{"n": n})
		if err != nil {
			t.Fatal(err)
		}
		found, more, err := second.Messages(t.Context(), "room:1", id-1, 1)
		if err != nil || more || len(found) != 1 || found[0].ID != id {
			t.Fatalf("message %d on the other node: %v, more %v, %v", id, found, more, err)
		}
	}
	if found, more, err := second.Messages(t.Context(), "room:1", 50, 5); err != nil || more || len(found) != 0 {
		t.Errorf("beyond the head: %v, more %v, %v", found, more, err)
	}
}
