package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/trunkline/trunkline/test/history/verify"
)

// publishOnce publishes one message to a server that answers each push so.
func publishOnce(t *testing.T, once bool, answer func(try int, m message) []string) (verify.Publish, []string) {
	t.Helper()
	tries := 0
	var keys []string
	f := startFake(t, func(_ int, m message) []string {
		if m.Event == "phx_join" {
			return []string{replyTo(m, "ok", `{}`)}
		}
		var payload struct{ Body, Key string }
		if err := json.Unmarshal(m.Payload, &payload); err != nil {
			t.Error(err)
		}
		keys = append(keys, payload.Key)
		tries++
		return answer(tries, m)
	})
	p := &clientPublisher{
		name: "p", cluster: f.cluster(), topics: []string{fakeTopic, "room:other"},
		every: time.Millisecond, record: newRecorder(), counts: &counts{},
	}
	defer p.disconnect()
	d := newDraft("p", 7, fakeTopic, eventMessage, clientMost)
	d.once = once
	published := p.publish(t.Context(), d)
	p.disconnect()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, complaint := range p.record.complaints {
		t.Log(complaint)
	}
	if len(p.record.complaints) > 0 {
		published.ID = -1
	}
	return published, keys
}

// A message without a key is not repeated.
func TestClientPublishesOnce(t *testing.T) {
	t.Parallel()
	for status, want := range map[string]verify.Outcome{"ok": verify.Committed, "error": verify.Unknown, "": verify.Unknown} {
		published, keys := publishOnce(t, true, func(_ int, m message) []string {
			if status == "" {
				return nil
			}
			return []string{replyTo(m, status, `{"id":12}`)}
		})
		if published.Outcome != want || len(keys) != 1 || keys[0] != "" {
			t.Errorf("answered %q: recorded %+v, published with the keys %q", status, published, keys)
		}
	}
}

// A message is repeated with its key until it is acknowledged.
func TestClientPublisherRepeats(t *testing.T) {
	t.Parallel()
	published, keys := publishOnce(t, false, func(try int, m message) []string {
		switch try {
		case 1:
			return nil // the connection ends: whether it was published is unknown
		case 2, 3, 4:
			return []string{replyTo(m, "error", `{"reason":"try again"}`)}
		}
		return []string{replyTo(m, "ok", `{"id":12}`)}
	})
	if published.Outcome != verify.Committed || published.ID != 12 || published.Key != "p-7" {
		t.Errorf("recorded %+v", published)
	}
	if len(keys) != 5 {
		t.Errorf("published %d times, want 5", len(keys))
	}
	for _, key := range keys {
		if key != "p-7" {
			t.Errorf("the key is %q", key)
		}
	}
}

// A message that got nothing but errors may be given up, and is recorded so.
func TestClientPublisherGivesUp(t *testing.T) {
	t.Parallel()
	published, keys := publishOnce(t, false, func(_ int, m message) []string {
		return []string{replyTo(m, "error", `{"reason":"no"}`)}
	})
	if published.Outcome != verify.Refused || len(keys) == 0 || published.Reason == "" {
		t.Errorf("recorded %+v after %d tries", published, len(keys))
	}
}

func TestClientPublisherWantsAnID(t *testing.T) {
	t.Parallel()
	published, _ := publishOnce(t, false, func(_ int, m message) []string { return []string{replyTo(m, "ok", `{}`)} })
	if published.ID != -1 {
		t.Errorf("recorded %+v without a complaint", published)
	}
}
