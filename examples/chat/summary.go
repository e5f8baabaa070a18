package chat

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// shownPlaces is how many writers and words a summary names.
	shownPlaces = 5
	// minWord and maxWord bound in letters what counts as a word: shorter ones
	// say little, longer ones are none.
	minWord = 4
	maxWord = 40
	// maxWords is how many different words are counted; what comes new beyond is not.
	maxWords = 100_000
	// maxExcerpt of the longest message, in characters.
	maxExcerpt = 160
)

// summary is what is told of a room: counts and no more.
type summary struct {
	Summary  string  `json:"summary"`
	Messages int     `json:"messages"`
	People   int     `json:"people"`
	Writers  []place `json:"writers"`
	Words    []place `json:"words"`
	// BusiestHour and Longest are absent when nothing has been said.
	BusiestHour *hour    `json:"busiest_hour,omitempty"`
	Longest     *longest `json:"longest,omitempty"`
	// Partial tells that the room has more messages than were read.
	Partial bool `json:"partial"`
	// Node that did the work.
	Node string `json:"node"`
}

// place in a ranking.
type place struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

// hour begins at At, in UTC.
type hour struct {
	At       time.Time `json:"at"`
	Messages int       `json:"messages"`
}

type longest struct {
	ID         int64  `json:"id"`
	UserID     string `json:"user_id"`
	Characters int    `json:"characters"`
	Excerpt    string `json:"excerpt"`
}

// tally counts messages as they are read. The zero value has seen none.
type tally struct {
	messages int
	writers  map[string]int
	words    map[string]int
	hours    map[time.Time]int
	longest  *longest
}

// said is a message as it is counted.
type said struct {
	Body   string `json:"body"`
	UserID string `json:"user_id"` // "" of what SQL or the command line published
}

func (t *tally) add(id int64, at time.Time, m said) {
	if t.messages == 0 {
		t.writers, t.words, t.hours = map[string]int{}, map[string]int{}, map[time.Time]int{}
	}
	t.messages++
	writer := cmp.Or(m.UserID, "Someone")
	t.writers[writer]++
	t.hours[at.UTC().Truncate(time.Hour)]++
	if n := utf8.RuneCountInString(m.Body); n > 0 && (t.longest == nil || n > t.longest.Characters) {
		t.longest = &longest{ID: id, UserID: writer, Characters: n, Excerpt: excerpt(m.Body)}
	}
	for word := range strings.FieldsFuncSeq(m.Body, betweenWords) {
		word = strings.ToLower(strings.Trim(word, "'’"))
		if n := utf8.RuneCountInString(word); n < minWord || n > maxWord {
			continue
		}
		if _, known := t.words[word]; known || len(t.words) < maxWords {
			t.words[word]++
		}
	}
}

func betweenWords(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r) && r != '\'' && r != '’'
}

func excerpt(body string) string {
	runes := []rune(body)
	if len(runes) <= maxExcerpt {
		return body
	}
	return string(runes[:maxExcerpt-1]) + "…"
}

// busiestHour is the earliest of those with the most messages, nil without messages.
func (t *tally) busiestHour() *hour {
	var most *hour
	for at, n := range t.hours {
		if most == nil || n > most.Messages || (n == most.Messages && at.Before(most.At)) {
			most = &hour{at, n}
		}
	}
	return most
}

// top are the highest counts; those alike by name.
func top(counts map[string]int) []place {
	places := make([]place, 0, len(counts))
	for name, n := range maps.All(counts) {
		places = append(places, place{name, n})
	}
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Name, b.Name))
	})
	return places[:min(len(places), shownPlaces)]
}

// sentence says it in words.
func (s *summary) sentence() string {
	if s.Messages == 0 {
		return "Nothing has been said here yet."
	}
	text := counted(s.Messages, "message", "messages")
	if s.Partial {
		text = "The oldest " + text
	}
	text += " by " + counted(s.People, "person", "people")
	if most := s.Writers[0]; s.People > 1 && most.Count > s.Writers[1].Count {
		text += fmt.Sprintf(", most of all by %s (%d)", most.Name, most.Count)
	}
	return text + "."
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
