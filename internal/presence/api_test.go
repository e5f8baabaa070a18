package presence_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trunkline/trunkline/internal/presence"
)

// uncoalesced tells each change on its own, as Phoenix does.
func uncoalesced(c *presence.Config) { c.DiffInterval = -1 }

func frame(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (nd *node) frames(topic string) []string {
	var frames []string
	for _, d := range nd.diffs(topic) {
		frames = append(frames, frame(nd.net.t, d.diff))
	}
	return frames
}

func TestListsAndDiffsAreThoseOfPhoenix(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T, n *network) {
		a := n.start("a", uncoalesced)
		tr, ctx := a.tracker, t.Context()
		if got := frame(t, tr.List(ctx, "room")); got != `{}` {
			t.Errorf("empty list: %s", got)
		}
		owner := tr.NewOwner()
		ref1, err := tr.Track(owner, "room", "1", json.RawMessage(`{"status":"online","device":"<d1>"}`))
		if err != nil {
			t.Fatal(err)
		}
		meta1 := fmt.Sprintf(`{"device":"<d1>","phx_ref":%q,"status":"online"}`, ref1)
		if got, want := string(tr.List(ctx, "room").AppendJSON(nil)), `{"1":{"metas":[`+meta1+`]}}`; got != want {
			t.Errorf("list %s, want %s", got, want)
		}
		ref2, err := tr.Update(owner, "room", "1", json.RawMessage(`{"status":"away","phx_ref":"mine","phx_ref_prev":"mine"}`))
		if err != nil {
			t.Fatal(err)
		}
		meta2 := fmt.Sprintf(`{"phx_ref":%q,"phx_ref_prev":%q,"status":"away"}`, ref2, ref1)
		if one, ok := tr.GetByKey(ctx, "room", "1"); !ok || string(one.AppendJSON(nil)) != `{"metas":[`+meta2+`]}` {
			t.Errorf("by key: %s", frame(t, one))
		}
		if !tr.Untrack(owner, "room", "1") || tr.Untrack(owner, "room", "1") {
			t.Error("untrack must work once")
		}
		if _, ok := tr.GetByKey(ctx, "room", "1"); ok {
			t.Error("found by key after untrack")
		}
		time.Sleep(time.Second)
		var got []string
		for _, d := range a.diffs("room") {
			got = append(got, string(d.diff.AppendJSON(nil)))
		}
		want := []string{
			`{"joins":{"1":{"metas":[` + meta1 + `]}},"leaves":{}}`,
			`{"joins":{"1":{"metas":[` + meta2 + `]}},"leaves":{"1":{"metas":[` + meta1 + `]}}}`,
			`{"joins":{},"leaves":{"1":{"metas":[` + meta2 + `]}}}`,
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("diffs\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		raw, err := base64.RawURLEncoding.DecodeString(ref1)
		if len(ref1) != 16 || err != nil || binary.BigEndian.Uint64(raw) != uint64(time.Now().Add(-time.Second).UnixNano()) {
			t.Errorf("phx_ref %q", ref1)
		}
	})
}

func TestUpdateFunc(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T, n *network) {
		tr := n.start("a").tracker
		owner := tr.NewOwner()
		count := func(meta json.RawMessage) (json.RawMessage, error) {
			var m map[string]any
			if err := json.Unmarshal(meta, &m); err != nil {
				return nil, err
			}
			n, _ := m["n"].(float64)
			m["n"] = n + 1
			return json.Marshal(m)
		}
		if _, err := tr.UpdateFunc(owner, "room", "k", count); !errors.Is(err, presence.ErrNoPresence) {
			t.Errorf("update of what is not tracked: %v", err)
		}
		if _, err := tr.Track(owner, "room", "k", json.RawMessage(`{}`)); err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		for range 20 {
			go func() {
				_, err := tr.UpdateFunc(owner, "room", "k", count)
				done <- err
			}()
		}
		for range 20 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		one, _ := tr.GetByKey(t.Context(), "room", "k")
		if len(one.Metas) != 1 || !strings.Contains(string(one.Metas[0]), `"n":20`) {
			t.Errorf("after 20 updates at once: %s", frame(t, one))
		}
		nope := errors.New("nope")
		if _, err := tr.UpdateFunc(owner, "room", "k", func(json.RawMessage) (json.RawMessage, error) { return nil, nope }); !errors.Is(err, nope) {
			t.Errorf("the function's error: %v", err)
		}
	})
}

func TestWhatCannotBeTracked(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T, n *network) {
		tr := n.start("a").tracker
		for _, c := range []struct{ topic, key, meta, says string }{
			{"", "k", `{}`, "topic is empty"},
			{"t", "", `{}`, "key is empty"},
			{"t", strings.Repeat("k", 1025), `{}`, "1025 bytes, the limit is 1024"},
			{"t\xff", "k", `{}`, "not UTF-8"},
			{"t", "k", `[]`, "not a JSON object"},
			{"t", "k", `null`, "not a JSON object"},
			{"t", "k", `{"a":`, "not a JSON object"},
			{"t", "k", "{\"a\":\"\xff\"}", "not UTF-8"},
			{"t", "k", `{"a":"` + strings.Repeat("x", 65536) + `"}`, "the limit is 65536"},
		} {
			_, err := tr.Track(1, c.topic, c.key, json.RawMessage(c.meta))
			if !errors.Is(err, presence.ErrInvalid) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("track %.20q %.20q %.20q: %v, want one that says %q", c.topic, c.key, c.meta, err, c.says)
			}
		}
		if _, err := tr.Track(1, "t", "k", json.RawMessage(`{}`)); err != nil {
			t.Fatal(err)
		}
		if _, err := tr.Track(1, "t", "k", json.RawMessage(`{}`)); !errors.Is(err, presence.ErrAlreadyTracked) {
			t.Errorf("tracked twice: %v", err)
		}
		if _, err := tr.Update(1, "t", "k", json.RawMessage(`7`)); !errors.Is(err, presence.ErrInvalid) {
			t.Errorf("update to a number: %v", err)
		}
	})
}

func TestEndedTrackerTakesNothing(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T, n *network) {
		a := n.start("a")
		a.track("room", "ann")
		a.shutDown()
		if _, err := a.tracker.Track(9, "room", "bob", json.RawMessage(`{}`)); !errors.Is(err, presence.ErrClosed) {
			t.Errorf("track: %v", err)
		}
		if _, err := a.tracker.Update(1, "room", "ann", json.RawMessage(`{}`)); !errors.Is(err, presence.ErrClosed) {
			t.Errorf("update: %v", err)
		}
	})
}

func TestOneDiffForEachChange(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T, n *network) {
		a := n.start("a", uncoalesced)
		b := n.start("b", uncoalesced)
		time.Sleep(time.Second)
		var owner presence.Owner
		for _, key := range users(0, 10) {
			owner = a.track("room", key)
		}
		if _, err := a.tracker.Track(owner, "room", "u8b", json.RawMessage(`{}`)); err != nil {
			t.Fatal(err)
		}
		if _, err := a.tracker.Track(owner, "lobby", "u9", json.RawMessage(`{}`)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		a.tracker.UntrackOwner(owner)
		time.Sleep(time.Second)
		wantLog(t, "room", "+u0 +u1 +u2 +u3 +u4 +u5 +u6 +u7 +u8 +u9 +u8b -u8b-u9", a)
		wantLog(t, "room", "+u0+u1+u2+u3+u4+u5+u6+u7+u8+u8b+u9 -u8b-u9", b)
		wantLog(t, "lobby", "+u9 -u9", a, b)
	})
}

// A topic that was quiet is served at once; then one diff each interval.
func TestDiffsCoalesce(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T, n *network) {
		a := n.start("a")
		time.Sleep(time.Second)
		begin := time.Now()
		for _, key := range users(0, 9) {
			a.track("room", key)
			time.Sleep(21 * time.Millisecond)
		}
		time.Sleep(time.Second)
		wantLog(t, "room", "+u0 +u1+u2 +u3+u4 +u5+u6+u7 +u8", a)
		for i, d := range a.diffs("room") {
			if got, want := d.at.Sub(begin), 2*time.Millisecond+time.Duration(i)*50*time.Millisecond; got != want {
				t.Errorf("diff %d came after %v, want %v", i, got, want)
			}
		}
	})
}

// What comes and goes between two diffs is told only if a list was handed out
// meanwhile.
func TestWhatAListHasShownIsTaken(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T, n *network) {
		a := n.start("a")
		time.Sleep(time.Second)
		for _, topic := range []string{"seen", "unseen"} {
			a.track(topic, "ann")
			time.Sleep(10 * time.Millisecond)
			bob := a.track(topic, "bob")
			if topic == "seen" {
				a.push(a.watch(topic), a.state(topic))
			}
			a.tracker.UntrackOwner(bob)
			time.Sleep(time.Second)
		}
		wantClients(t, a, "seen")
		wantLog(t, "seen", "+ann -bob", a)
		wantLog(t, "unseen", "+ann", a)
	})
}

func TestOwnChangesAreToldApart(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T, n *network) {
		var own []string
		a := n.start("a", func(c *presence.Config) {
			c.OnLocal = func(joins, leaves []*presence.Entry) {
				for _, e := range joins {
					own = append(own, "+"+e.Key)
				}
				for _, e := range leaves {
					own = append(own, "-"+e.Key)
				}
			}
		})
		b := n.start("b")
		time.Sleep(time.Second)
		b.track("room", "bob")
		owner := a.track("room", "ann")
		if _, err := a.tracker.Update(owner, "room", "ann", json.RawMessage(`{}`)); err != nil {
			t.Fatal(err)
		}
		a.tracker.Untrack(owner, "room", "ann")
		a.tracker.UntrackOwner(a.track("room", "cem"))
		a.tracker.UntrackOwner(owner)
		time.Sleep(time.Second)
		if got, want := strings.Join(own, " "), "+ann +ann -ann -ann +cem -cem"; got != want {
			t.Errorf("own changes %s, want %s", got, want)
		}
	})
}

func TestFetchIsCalledOnceForEachDiff(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T, n *network) {
		var mu sync.Mutex
		var calls []string
		fetch := func(ctx context.Context, topic string, presences presence.Presences) (map[string]map[string]json.RawMessage, error) {
			mu.Lock()
			calls = append(calls, fmt.Sprint(topic, " ", len(presences)))
			mu.Unlock()
			if topic == "room:slow" {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			if topic == "room:panic" {
				panic("no")
			}
			fetched := make(map[string]map[string]json.RawMessage)
			for key := range presences {
				fetched[key] = map[string]json.RawMessage{"name": json.RawMessage(`"` + strings.ToUpper(key) + `"`), "metas": json.RawMessage(`0`)}
			}
			return fetched, nil
		}
		a := n.start("a", func(c *presence.Config) {
			c.Options = func(topic string) presence.Options {
				if strings.HasPrefix(topic, "room:") {
					return presence.Options{Fetch: fetch}
				}
				return presence.Options{}
			}
		})
		b := n.start("b")
		time.Sleep(time.Second)
		for _, key := range []string{"ann", "bob", "cem"} {
			b.track("room:1", key)
		}
		time.Sleep(time.Second)
		mu.Lock()
		got := strings.Join(calls, ", ")
		mu.Unlock()
		if got != "room:1 3" {
			t.Errorf("three joins on another node: fetched %q", got)
		}
		var diff presence.PresenceDiff
		if err := json.Unmarshal([]byte(a.frames("room:1")[0]), &diff); err != nil {
			t.Fatal(err)
		}
		if bob := diff.Joins["bob"]; string(bob.Fetched["name"]) != `"BOB"` || len(bob.Metas) != 1 {
			t.Errorf("diff: %s", a.frames("room:1")[0])
		}
		if bob, _ := a.tracker.GetByKey(t.Context(), "room:1", "bob"); string(bob.Fetched["name"]) != `"BOB"` {
			t.Errorf("by key: %s", frame(t, bob))
		}
		if list := a.tracker.List(t.Context(), "room:1"); string(list["cem"].Fetched["name"]) != `"CEM"` {
			t.Errorf("list: %s", frame(t, list))
		}
		// One topic's slow or broken fetch delays no other, and loses no diff.
		owner := a.track("room:slow", "u")
		a.track("room:panic", "u")
		a.track("plain", "u")
		time.Sleep(time.Second)
		a.tracker.UntrackOwner(owner)
		wantLog(t, "room:panic", "+u", a)
		wantLog(t, "plain", "+u", a)
		wantLog(t, "room:slow", "", a)
		time.Sleep(10 * time.Second)
		wantLog(t, "room:slow", "+u -u", a)
	})
}

func TestHandleMetasSeesTheListAfterEachDiff(t *testing.T) {
	t.Parallel()
	simulate(t, func(t *testing.T, n *network) {
		var mu sync.Mutex
		var seen []string
		a := n.start("a", uncoalesced, func(c *presence.Config) {
			c.Options = func(string) presence.Options {
				return presence.Options{HandleMetas: func(topic string, diff *presence.PresenceDiff, list presence.Presences) {
					var counts []string
					for _, key := range []string{"ann", "bob"} {
						counts = append(counts, fmt.Sprint(len(list[key].Metas)))
					}
					mu.Lock()
					defer mu.Unlock()
					seen = append(seen, strings.Join(counts, "/"))
				}}
			}
		})
		time.Sleep(time.Second)
		first := a.track("room", "ann")
		second := a.track("room", "ann")
		a.track("room", "bob")
		if _, err := a.tracker.Update(first, "room", "ann", json.RawMessage(`{"x":1}`)); err != nil {
			t.Fatal(err)
		}
		a.tracker.UntrackOwner(first)
		a.tracker.UntrackOwner(second)
		time.Sleep(time.Second)
		mu.Lock()
		defer mu.Unlock()
		if got, want := strings.Join(seen, " "), "1/0 2/0 2/1 2/1 1/1 0/1"; got != want {
			t.Errorf("metas of ann/bob after each diff: %s, want %s", got, want)
		}
	})
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	nd := &node{id: "a"}
	for says, set := range map[string]func(*presence.Config){
		"required":       func(c *presence.Config) { c.Bus = nil },
		"Shards is 1000": func(c *presence.Config) { c.Shards = 1000 },
		"negative":       func(c *presence.Config) { c.BroadcastPeriod = -1 },
		"DownPeriod":     func(c *presence.Config) { c.DownPeriod = time.Second },
		"PermdownPeriod": func(c *presence.Config) { c.PermdownPeriod = c.DownPeriod + time.Second },
		"limit is 255":   func(c *presence.Config) { c.Name = strings.Repeat("n", 256) },
	} {
		config := presence.Config{
			Bus:     nd,
			Ready:   func() error { return nil },
			Deliver: func(string, *presence.PresenceDiff) {},
		}
		set(&config)
		if _, err := presence.New(config); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want one that says %q", err, says)
		}
	}
}
