package jobs

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
)

// fakeWaiter is a channel that remembers what it was told.
type fakeWaiter struct {
	channel string
	gone    bool
	answers []Answer
	events  []string
}

func (w *fakeWaiter) Channel() any { return w.channel }

func (w *fakeWaiter) Answer(a Answer) bool {
	if !w.gone {
		w.answers = append(w.answers, a)
	}
	return !w.gone
}

func (w *fakeWaiter) Push(event string, _ json.RawMessage) { w.events = append(w.events, event) }

func TestWaiters(t *testing.T) {
	t.Parallel()
	w := newWaiters()
	tab, other := &fakeWaiter{channel: "tab"}, &fakeWaiter{channel: "other"}
	for _, err := range []error{w.ask(1, "k1", tab), w.ask(1, "k1", tab), w.ask(2, "k2", tab)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	w.standBy(1, "k1", other)
	if asked, standby := w.ids(); len(asked) != 2 || !slices.Equal(standby, []int64{1}) || !w.standingBy() {
		t.Errorf("asked %v, standby %v", asked, standby)
	}
	if n := len(w.of(1)); n != 2 {
		t.Errorf("%d asked, want both pushes", n)
	}

	w.leave("tab")
	if key, asked, standbys := w.take(1); key != "k1" || len(asked) != 0 || len(standbys) != 1 {
		t.Errorf("left with %q %v %v", key, asked, standbys)
	}
	if w.len() != 0 || w.standingBy() || len(w.channels) != 0 {
		t.Errorf("%d replies, %d channels are left", w.len(), len(w.channels))
	}
	w.leave("tab") // again
}

// A channel waits for so many at most; others are not concerned.
func TestTooManyWait(t *testing.T) {
	t.Parallel()
	w := newWaiters()
	tab := &fakeWaiter{channel: "tab"}
	for id := range int64(MaxWaiting) {
		if err := w.ask(id, "k", tab); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.ask(MaxWaiting, "k", tab); !errors.Is(err, ErrTooMany) {
		t.Errorf("err %v", err)
	}
	w.standBy(MaxWaiting, "k", tab)
	if w.standingBy() {
		t.Error("it stands by beyond its limit")
	}
	if err := w.ask(MaxWaiting, "k", &fakeWaiter{channel: "other"}); err != nil {
		t.Error(err)
	}
	w.take(0)
	if err := w.ask(MaxWaiting+1, "k", tab); err != nil {
		t.Errorf("after an answer: %v", err)
	}
}
