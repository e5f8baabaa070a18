package chat

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trunkline/trunkline/internal/pgtest"
)

// summarised reads up to the answer, and returns it and the progress before it.
func (c *tab) summarised(key string) (told []progress, s summary) {
	c.t.Helper()
	for {
		switch event, payload := c.next(); event {
		case "progress":
			var p progress
			if err := json.Unmarshal(payload, &p); err != nil || p.Key != key {
				c.t.Fatalf("progress %s of %s: %v", payload, key, err)
			}
			told = append(told, p)
		case "phx_reply":
			var reply struct {
				Status   string
				Response summary
			}
			if err := json.Unmarshal(payload, &reply); err != nil || reply.Status != "ok" {
				c.t.Fatalf("answered %s: %v", payload, err)
			}
			if reply.Response.Summary != "" { // else it answers a message
				return told, reply.Response
			}
		}
	}
}

// hears reads up to a message, and fails at an event that must not come before.
func (c *tab) hears(body, not string) {
	c.t.Helper()
	for {
		event, payload := c.next()
		if event == not {
			c.t.Fatalf("got %s: %s", event, payload)
		}
		var m message
		if event == "new_msg" && json.Unmarshal(payload, &m) == nil && m.Body == body {
			return
		}
	}
}

func (c *tab) say(body string) {
	c.t.Helper()
	c.push(lobby, "new_msg", fmt.Sprintf(`{"body": %q}`, body))
}

// Who asks is told how far it is, then of everything; the room goes on, and
// nobody else hears of it.
func TestSummarise(t *testing.T) {
	t.Parallel()
	database := pgtest.URL(t)
	o := Options{Verify: anybody, SummaryPause: 100 * time.Millisecond}
	address, other := serveOn(t, database, o), serveOn(t, database, o)
	ann, bob, second := openTab(t, address, "ann"), openTab(t, other, "bob"), openTab(t, address, "ann")
	for _, c := range []*tab{ann, bob, second} {
		c.enter(lobby, `{}`)
	}
	ann.push(lobby, "summarise", `{"key": "k0"}`)
	if told, s := ann.summarised("k0"); len(told) == 0 || s.Summary != "Nothing has been said here yet." || s.Messages != 0 || s.BusiestHour != nil || s.Longest != nil {
		t.Errorf("of the empty room: %+v after %+v", s, told)
	}

	bob.say("Which lantern?")
	bob.hears("Which lantern?", "")
	bob.say("A mistake.")
	bob.hears("A mistake.", "")
	bob.push(lobby, "delete_msg", `{"id": 2}`)
	bob.push(lobby, "edit_msg", `{"id": 1, "body": "Which lantern is the brightest?"}`)
	for event := ""; event != "message_updated"; {
		event, _ = bob.next()
	}
	ann.say("The lantern on the left.")
	ann.say("Left.")
	ann.hears("Left.", "")

	ann.push(lobby, "summarise", `{"key": "k1"}`)
	for event := ""; event != "progress"; {
		event, _ = ann.next()
	}
	bob.say("Still talking.")
	second.hears("Still talking.", "progress")
	told, s := ann.summarised("k1")
	last := told[len(told)-1]
	if last.Percent != 100 || last.Node == "" || last.Node != s.Node || last.Messages != s.Messages {
		t.Errorf("the last progress is %+v", last)
	}
	for i := range told[1:] {
		if told[i+1].Percent < told[i].Percent {
			t.Errorf("from %d %% back to %d %%", told[i].Percent, told[i+1].Percent)
		}
	}
	// Bob's last message may have come before the page was read.
	if s.Messages < 3 || s.Messages > 4 || s.People != 2 || s.Partial {
		t.Errorf("%+v, want 3 or 4 messages of 2 people", s)
	}
	if s.Longest == nil || s.Longest.ID != 1 || s.Longest.UserID != "bob" || s.Longest.Excerpt != "Which lantern is the brightest?" {
		t.Errorf("the longest is %+v, want the edited one", s.Longest)
	}
	if s.BusiestHour == nil || s.BusiestHour.Messages < 1 || time.Since(s.BusiestHour.At) > 2*time.Hour {
		t.Errorf("the busiest hour is %+v", s.BusiestHour)
	}
	if s.Words[0] != (place{"lantern", 2}) {
		t.Errorf("words %v", s.Words)
	}
	for _, c := range []*tab{bob, second} {
		c.say("Nothing came.")
		c.hears("Nothing came.", "progress")
	}
}

// A repeat with the key is the same job, and gets its answer.
func TestSummariseOnce(t *testing.T) {
	t.Parallel()
	ann := openTab(t, serve(t, Options{Verify: anybody, SummaryPause: time.Millisecond}), "ann")
	ann.enter(lobby, `{}`)
	ann.say("One.")
	ann.hears("One.", "")
	ann.push(lobby, "summarise", `{"key": "k"}`)
	_, before := ann.summarised("k")
	ann.say("Two.")
	ann.hears("Two.", "")
	ann.push(lobby, "summarise", `{"key": "k"}`)
	if told, after := ann.summarised("k"); len(told) > 0 || before.Messages != 1 || after.Messages != 1 {
		t.Errorf("a repeat gets %+v after %d steps, want the first one's %+v", after, len(told), before)
	}
}

// More messages than a page are read page by page.
func TestSummariseReadsAllPages(t *testing.T) {
	t.Parallel()
	const messages = 2*summaryPage + 7
	database := pgtest.URL(t)
	ann := openTab(t, serveOn(t, database, Options{Verify: anybody, SummaryPause: time.Millisecond}), "ann")
	ann.enter(lobby, `{}`)
	publish(t, database, `select trunkline.publish('room:lobby', 'new_msg',
		jsonb_build_object('body', 'sentence ' || n, 'user_id', 'user ' || n % 3)) from generate_series(1, $1::int) n`, messages)
	publish(t, database, `select trunkline.publish('room:lobby', 'announcement', '{"body": "no message"}') where $1 > 0`, 1)
	for event := ""; event != "announcement"; {
		event, _ = ann.next()
	}
	ann.push(lobby, "summarise", `{"key": "k"}`)
	told, s := ann.summarised("k")
	if s.Messages != messages || s.People != 3 || s.Words[0] != (place{"sentence", messages}) {
		t.Errorf("%+v, want %d messages", s, messages)
	}
	pages := map[int]bool{}
	for _, p := range told {
		pages[p.Messages] = true
	}
	if !pages[summaryPage] || !pages[2*summaryPage] {
		t.Errorf("told of %v messages on the way", pages)
	}
}

func publish(t *testing.T, database, sql string, n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), sql, n); err != nil {
		t.Fatal(err)
	}
}
