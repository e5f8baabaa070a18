package history

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/trunkline/trunkline/internal/pgtest"
)

func TestCheckPublish(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 600)
	for _, c := range []struct {
		topic, event, payload, key string
		want                       error
	}{
		{"t", "e", `{}`, "", nil},
		{"t", "e", " {\n\"a\": {\"id\": 1}, \"ID\": [\"id\"] } ", "k", nil},
		{long[:512], long[:255], `{"a":"\\id"}`, long[:255], nil},
		{"t", "e", `{"ids":1,"uid":2,"a":"id"}`, "", nil},
		{"", "e", `{}`, "", ErrTopic},
		{long[:513], "e", `{}`, "", ErrTopic},
		{"t\x00", "e", `{}`, "", ErrTopic},
		{"t\xff", "e", `{}`, "", ErrTopic},
		{"t", "", `{}`, "", ErrEvent},
		{"t", long[:256], `{}`, "", ErrEvent},
		{"t", "phx_join", `{}`, "", ErrEvent},
		{"t", EventUpdated, `{}`, "", ErrEvent},
		{"t", EventDeleted, `{}`, "", ErrEvent},
		{"t", "e", `{}`, long[:256], ErrKey},
		{"t", "e", `{}`, "\x00", ErrKey},
		{"t", "e", ``, "", ErrPayload},
		{"t", "e", `[]`, "", ErrPayload},
		{"t", "e", `{"a":1}x`, "", ErrPayload},
		{"t", "e", `{"a":`, "", ErrPayload},
		{"t", "e", "{\"a\":\"\xff\"}", "", ErrPayload},
		{"t", "e", `{"a":"` + strings.Repeat("x", 1<<20) + `"}`, "", ErrPayload},
		{"t", "e", `{"a":1,"id":2}`, "", ErrReservedKey},
		{"t", "e", `{"\u0069d":2}`, "", ErrReservedKey},
	} {
		if err := checkPublish("id", c.topic, c.event, []byte(c.payload), c.key); !errors.Is(err, c.want) {
			t.Errorf("%.20q %.20q %.20q %.20q: %v, want %v", c.topic, c.event, c.payload, c.key, err, c.want)
		}
	}
}

// Whatever is accepted can be stored, and its live form is the same object with
// the id.
func FuzzCheckPayload(f *testing.F) {
	for _, seed := range []string{`{}`, ` { "a" : 1 } `, `{"id":1}`, `{"\u0069d":1}`, `{"a":"\u0000"}`, `{"a":1,"a":2}`, "{\"a\":\"\xed\xa0\x80\"}", `{"a":"\ud800"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if checkPayload("id", payload) != nil {
			return
		}
		var before, after map[string]json.RawMessage
		if err := json.Unmarshal(payload, &before); err != nil {
			t.Fatalf("%q was accepted: %v", payload, err)
		}
		live := row{id: 7, event: "e", payload: payload}.message("id").Payload
		if err := json.Unmarshal(live, &after); err != nil {
			t.Fatalf("%q became %q: %v", payload, live, err)
		}
		if string(after["id"]) != "7" || len(after) != len(before)+1 {
			t.Fatalf("%q became %q", payload, live)
		}
		for key, value := range before {
			if string(after[key]) != string(value) {
				t.Fatalf("%q became %q", payload, live)
			}
		}
	})
}

// What is accepted here is stored as it is.
func TestPayloadsAreStoredAsTheyAre(t *testing.T) {
	t.Parallel()
	s := storeOn(t, pgtest.URL(t))
	topic := topicNamed(t, s, "a")
	payloads := []string{`{}`, " {\n\"a\":1.50, \"a\" :\"\\u0000\\ud800\" }", `{"a":"` + strings.Repeat("ü", 1<<19-4) + `"}`, `{"1e400":1e400}`}
	for i, payload := range payloads {
		if err := checkPayload("id", []byte(payload)); err != nil {
			t.Errorf("%.20q: %v", payload, err)
		}
		e := message(topic, "")
		e.payload = []byte(payload)
		mustAppend(t, s, e)
		pages, err := s.after(context.Background(), []reading{{topicID: topic, after: int64(i), limit: 1}}, 1)
		if err != nil || string(pages[0].rows[0].payload) != payload {
			t.Errorf("%.20q was not stored as it was: %v", payload, err)
		}
	}
}
