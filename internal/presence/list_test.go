package presence

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// lonely is a bus without other nodes.
type lonely struct{}

func (lonely) Node() string                                 { return "lonely" }
func (lonely) Publish(byte, string, []byte) error           { return nil }
func (lonely) PublishTo(string, byte, string, []byte) error { return nil }

func lonelyTracker(t must, options func(string) Options) *Tracker {
	t.Helper()
	tr, err := New(Config{
		Bus: lonely{}, Ready: func() error { return nil },
		Deliver: func(string, *PresenceDiff) {}, Options: options,
	})
	if err != nil {
		t.Fatalf("new: %v", err)
	}
	return tr
}

func numbered(i int) json.RawMessage { return fmt.Appendf(nil, `{"n":%d}`, i) }

// Whatever has happened, ListJSON is the JSON of a list that is made anew, and
// shows the last change.
func TestListJSONIsThatOfTheList(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tr := lonelyTracker(t, func(topic string) Options {
			switch topic {
			case "graceful":
				return Options{Grace: time.Hour}
			case "fetched":
				return Options{Fetch: func(_ context.Context, _ string, list Presences) (map[string]map[string]json.RawMessage, error) {
					fetched := make(map[string]map[string]json.RawMessage)
					for key := range list {
						fetched[key] = map[string]json.RawMessage{"name": json.RawMessage(`"<i>"`)}
					}
					return fetched, nil
				}}
			}
			return Options{}
		})
		type tracked struct {
			owner      Owner
			topic, key string
		}
		var there []tracked
		for i := range rapid.IntRange(0, 30).Draw(t, "changes") {
			at := tracked{tr.NewOwner(), pick(t, "topic", []string{"plain", "graceful", "fetched"}), pick(t, "key", []string{"a", "ab", "b", `"\`, "\x00", "ü", "<\u2028>"})}
			var ref string
			var err error
			switch what := rapid.IntRange(0, 3).Draw(t, "change"); {
			case what < 2 || len(there) == 0:
				there = append(there, at)
				ref, err = tr.Track(at.owner, at.topic, at.key, numbered(i))
			case what == 2:
				at = pick(t, "updated", there)
				ref, err = tr.Update(at.owner, at.topic, at.key, numbered(i))
			default:
				n := rapid.IntRange(0, len(there)-1).Draw(t, "gone")
				at = there[n]
				there = append(there[:n:n], there[n+1:]...)
				tr.Untrack(at.owner, at.topic, at.key)
			}
			if err != nil {
				t.Fatalf("%+v: %v", at, err)
			}
			got := string(tr.ListJSON(t.Context(), at.topic))
			if want := string(tr.List(t.Context(), at.topic).AppendJSON(nil)); got != want || !json.Valid([]byte(got)) {
				t.Fatalf("%s\nwant %s", got, want)
			}
			if !strings.Contains(got, ref) {
				t.Fatalf("%s is not in %s", ref, got)
			}
		}
		for _, at := range there {
			tr.UntrackOwner(at.owner)
		}
		for _, topic := range []string{"plain", "fetched", "never"} {
			if got := string(tr.ListJSON(t.Context(), topic)); got != "{}" {
				t.Fatalf("nobody is in %s: %s", topic, got)
			}
		}
	})
}

// What ListJSON allocates is the list and its JSON, however many are there: it
// keeps nothing, and makes nothing for each key.
func TestListJSONAllocatesTwice(t *testing.T) {
	tr := lonelyTracker(t, nil)
	for i := range 1000 {
		if _, err := tr.Track(tr.NewOwner(), "room", fmt.Sprint("user:", i), numbered(i)); err != nil {
			t.Fatal(err)
		}
	}
	var state []byte
	if n := testing.AllocsPerRun(10, func() { state = tr.ListJSON(t.Context(), "room") }); n > 5 {
		t.Errorf("%v allocations", n)
	}
	if cap(state) > len(state)*11/10 {
		t.Errorf("%d bytes take %d", len(state), cap(state))
	}
}
