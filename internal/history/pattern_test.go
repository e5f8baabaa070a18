package history

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/trunkline/trunkline/internal/pgtest"
)

// The first pattern that matches applies, in Go as in SQL.
func TestPatternsMatch(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	ps, err := newPatterns([]Pattern{
		{Pattern: "room:lobby", IDKey: "a"},
		{Pattern: "room:*", IDKey: "b"},
		{Pattern: "room:private:*", IDKey: "never"},
		{Pattern: "50%_x:*", IDKey: "c"},
		{Pattern: "ü*"},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := storeOn(t, pgtest.URL(t))
	// What was registered before goes.
	for _, before := range []patterns{{{Pattern: "*", IDKey: "old"}, {Pattern: "room:*", IDKey: "old"}}, ps, ps} {
		if err := s.register(ctx, before); err != nil {
			t.Fatal(err)
		}
	}
	for topic, want := range map[string]string{
		"room:lobby": "a", "room:lobby2": "b", "room:": "b", "room:private:1": "b", "room": "", "aroom:1": "",
		"50%_x:1": "c", "50abx:1": "", "ü": "id", "üx": "id", "u": "", "": "",
	} {
		got := ""
		if p, ok := ps.match(topic); ok {
			got = p.IDKey
		}
		inSQL := ask[string](t, s.db, "select coalesce((select id_key from trunkline.pattern_of($1)), '')", topic)
		if got != want || inSQL != want {
			t.Errorf("%q: %q, in SQL %q, want %q", topic, got, inSQL, want)
		}
	}
	if err := s.register(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if n := ask[int](t, s.db, "select count(*) from trunkline.durable_topics"); n != 0 {
		t.Errorf("%d patterns are left", n)
	}
}

func TestPatternsAreChecked(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]Pattern{
		"bad topic":               {Pattern: ""},
		"asterisk":                {Pattern: "a*b*"},
		"IDKey":                   {Pattern: "a", IDKey: strings.Repeat("x", 65)},
		"edit events":             {Pattern: "a", IDKey: "message_id"},
		"MaxAge is 1s":            {Pattern: "a", MaxAge: time.Second},
		"must not be negative":    {Pattern: "a", MaxCount: -1},
		"PageSize is 1001":        {Pattern: "a", PageSize: 1001},
		`pattern "b" is given tw`: {Pattern: "b"},
	} {
		if _, err := newPatterns([]Pattern{{Pattern: "b"}, p}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", p, err, want)
		}
	}
	ps, err := newPatterns([]Pattern{{Pattern: "a", MaxAge: time.Hour}, {Pattern: "b", MaxAge: 2 * time.Hour}})
	if err != nil || ps[0].IDKey != "id" || ps[0].PageSize != 100 || ps.longestAge() != 2*time.Hour {
		t.Errorf("%+v, %v", ps, err)
	}
	if ps, err := newPatterns([]Pattern{{Pattern: "a", MaxAge: time.Hour}, {Pattern: "b"}}); err != nil || ps.longestAge() != 0 {
		t.Errorf("%+v, %v", ps, err)
	}
}
