package presence

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

func lingers(t must, now time.Time) *grace {
	s := NewState(replica("a"))
	g := newGrace(time.Minute)
	for owner := range Owner(2) {
		join(t, s, owner, "room", "ann")
	}
	join(t, s, 1, "hall", "bob")
	g.filter(nil, s.LeaveOwner(0), s, now)
	g.filter(nil, s.LeaveOwner(1), s, now.Add(time.Second))
	return g
}

func newGrace(period time.Duration) *grace {
	return &grace{
		period: func(string) time.Duration { return period },
		topics: make(map[string]map[string]lingering),
	}
}

// show names what lingers, and for how long.
func show(g *grace, now time.Time) (names []string) {
	for _, left := range g.all() {
		e := left.entries[0]
		names = append(names, fmt.Sprintf("%s/%s %d %v", e.Topic, e.Key, len(left.entries), left.until.Sub(now)))
	}
	return names
}

func TestHandOver(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	from := lingers(t, now)
	later := now.Add(10 * time.Second)
	others, err := decodeLingers(appendLingers(nil, from.all(), later), later)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		period time.Duration
		here   string
		want   []string
	}{
		{"all", time.Minute, "", []string{"hall/bob 1 51s", "room/ann 1 51s"}},
		{"a shorter period", 5 * time.Second, "", []string{"hall/bob 1 5s", "room/ann 1 5s"}},
		{"no period", 0, "", nil},
		{"one is back", time.Minute, "ann", []string{"hall/bob 1 51s"}},
	} {
		g, s := newGrace(c.period), NewState(replica("b"))
		if c.here != "" {
			join(t, s, 1, "room", c.here)
		}
		joins := g.adopt(others, s, later)
		if got := show(g, later); !slices.Equal(got, c.want) || len(joins) != len(c.want) {
			t.Errorf("%s: lingers %v, joins %v; want %v", c.name, got, keys(joins), c.want)
		}
		if again := g.adopt(others, s, later); len(again) > 0 {
			t.Errorf("%s: told twice: %v", c.name, keys(again))
		}
	}
}

func TestDecodeLingersRefuses(t *testing.T) {
	t.Parallel()
	e := func(clock uint64, meta string) *Entry {
		return &Entry{Topic: "room", Key: "ann", Meta: json.RawMessage(meta), Tag: Tag{replica("a"), clock}}
	}
	for name, entries := range map[string][]*Entry{
		"no order": {e(2, `{}`), e(1, `{}`)},
		"no JSON":  {e(1, `{`)},
		"clock 0":  {e(0, `{}`)},
	} {
		if _, err := decodeLingers(appendLingers(nil, []lingering{{entries: entries}}, time.Time{}), time.Now()); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	good := appendLingers(nil, lingers(t, time.Now()).all(), time.Now())
	for n := range good {
		if _, err := decodeLingers(good[:n], time.Now()); !errors.Is(err, ErrMalformed) {
			t.Errorf("%d of %d bytes: %v", n, len(good), err)
		}
	}
}

func FuzzDecodeLingers(f *testing.F) {
	now := time.Unix(1000, 0)
	f.Add(appendLingers(nil, lingers(f, now).all(), now))
	f.Add(appendLingers(nil, nil, now))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := decodeLingers(b, now)
		if err != nil {
			return
		}
		again, err := decodeLingers(appendLingers(nil, all, now), now)
		if err != nil || len(again) != len(all) {
			t.Fatalf("%d became %d: %v", len(all), len(again), err)
		}
		for i, left := range all {
			if !left.until.Equal(again[i].until) || !slices.EqualFunc(left.entries, again[i].entries, func(a, b *Entry) bool { return a.Compare(b) == 0 }) {
				t.Fatalf("%v became %v", left, again[i])
			}
		}
	})
}
