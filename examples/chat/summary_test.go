package chat

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestTally(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 3, 1, 13, 0, 0, 0, time.FixedZone("CET", 3600)) // 12:00 UTC
	var c tally
	for i, m := range []struct {
		after time.Duration
		said
	}{
		{0, said{"The harbour's lights, the Harbour!", "ann"}},
		{59 * time.Minute, said{"harbour lights and don’t 'quoted'", "bob"}},
		{time.Hour, said{strings.Repeat("é", maxExcerpt+1) + " Привет привет", "ann"}},
		{61 * time.Minute, said{"", "ann"}},
		{150 * time.Minute, said{"lights " + strings.Repeat("a", maxWord+1), ""}},
	} {
		c.add(int64(i+1), noon.Add(m.after), m.said)
	}
	if want := (map[string]int{"ann": 3, "bob": 1, "Someone": 1}); !reflect.DeepEqual(c.writers, want) {
		t.Errorf("writers %v, want %v", c.writers, want)
	}
	if want := (map[string]int{
		"harbour's": 1, "lights": 3, "harbour": 2, "don’t": 1, "quoted": 1, "привет": 2,
	}); !reflect.DeepEqual(c.words, want) {
		t.Errorf("words %v, want %v", c.words, want)
	}
	if want := (&hour{noon.UTC(), 2}); !reflect.DeepEqual(c.busiestHour(), want) {
		t.Errorf("busiest hour %v, want the earlier of two alike, %v", c.busiestHour(), want)
	}
	want := &longest{ID: 3, UserID: "ann", Characters: maxExcerpt + 15, Excerpt: strings.Repeat("é", maxExcerpt-1) + "…"}
	if c.messages != 5 || !reflect.DeepEqual(c.longest, want) {
		t.Errorf("%d messages, longest %+v, want 5 and %+v", c.messages, c.longest, want)
	}
	if empty := (&tally{}); empty.busiestHour() != nil || len(top(empty.words)) != 0 {
		t.Error("an empty tally names an hour or words")
	}
}

func TestTallyIsBounded(t *testing.T) {
	t.Parallel()
	var c tally
	c.add(1, time.Now(), said{Body: "known"})
	for i := range maxWords {
		c.words[fmt.Sprintf("word %d", i)] = 1
	}
	full := len(c.words)
	c.add(2, time.Now(), said{Body: "known newcomer"})
	if len(c.words) != full || c.words["known"] != 2 {
		t.Errorf("%d words, known %d times: want %d, and the known ones counted", len(c.words), c.words["known"], full)
	}
}

func TestTop(t *testing.T) {
	t.Parallel()
	got := top(map[string]int{"f": 1, "b": 2, "a": 2, "c": 9, "e": 1, "d": 1})
	if want := []place{{"c", 9}, {"a", 2}, {"b", 2}, {"d", 1}, {"e", 1}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestSentence(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		summary
		want string
	}{
		{summary{}, "Nothing has been said here yet."},
		{summary{Messages: 1, People: 1, Writers: []place{{"ann", 1}}}, "1 message by 1 person."},
		{summary{Messages: 4, People: 2, Writers: []place{{"ann", 2}, {"bob", 2}}}, "4 messages by 2 people."},
		{summary{Messages: 5, People: 2, Writers: []place{{"ann", 3}, {"bob", 2}}}, "5 messages by 2 people, most of all by ann (3)."},
		{summary{Messages: 9, People: 1, Writers: []place{{"ann", 9}}, Partial: true}, "The oldest 9 messages by 1 person."},
	} {
		if got := c.sentence(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.summary, got, c.want)
		}
	}
}
