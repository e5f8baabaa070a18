package main

import (
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trunkline/trunkline/test/history/verify"
)

func TestSettings(t *testing.T) {
	t.Parallel()
	s, err := parseSettings(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if s.duration != 10*time.Minute || s.faultEvery != 10*time.Second || s.nodes != 3 || s.topics != 200 || s.publishers != 50 || s.subscribers != 300 {
		t.Errorf("the defaults are %+v", s)
	}
	for _, bad := range []string{"-nodes=1", "-duration=0s", "-rate=0", "-publishers=4", "-nothing", "something"} {
		if _, err := parseSettings([]string{bad}, io.Discard); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

func TestEveryTopicHasASubscriber(t *testing.T) {
	t.Parallel()
	for _, subscribers := range []int{1, 7, 300} {
		for _, number := range []int{2, 5, 200, 1000} {
			topics := settings{topics: number}.topicNames()
			followed := spread(topics, subscribers)
			var all []string
			for _, each := range followed {
				if len(each) == 0 || len(each) != len(slices.Compact(slices.Sorted(slices.Values(each)))) {
					t.Errorf("a subscriber follows %v", each)
				}
				all = append(all, each...)
			}
			slices.Sort(all)
			if len(slices.Compact(all)) != number {
				t.Errorf("%d subscribers, %d topics: some are not followed", subscribers, number)
			}
		}
	}
}

// Each kind of publisher is there, however few there are.
func TestEveryKindOfPublisher(t *testing.T) {
	t.Parallel()
	k := &check{settings: settings{publishers: 5, rate: 10}, cluster: &cluster{}}
	kinds := map[string]bool{}
	for number := range k.settings.publishers {
		switch k.newPublisher(number, []string{"room:a", "room:b"}).(type) {
		case *commandPublisher:
			kinds["command"] = true
		case *sqlPublisher:
			kinds["SQL"] = true
		case *clientPublisher:
			kinds["client"] = true
		}
	}
	if len(kinds) != 3 {
		t.Errorf("only %v", kinds)
	}
}

func TestDrafts(t *testing.T) {
	t.Parallel()
	longest := 0
	for n := range 2000 {
		d := newDraft("p", n, "room:a", eventMessage, clientMost)
		runes := len([]rune(d.text))
		longest = max(longest, len(d.text))
		if runes > clientMost || !strings.HasPrefix(d.text, d.key+" ") || strings.TrimSpace(d.text) != d.text {
			t.Fatalf("%d characters: %.60q", runes, d.text)
		}
		record := d.publish("p", verify.Committed, 1)
		if record.Key != d.key || record.Text != verify.SumOf(d.text) {
			t.Fatalf("recorded as %+v", record)
		}
	}
	if longest < 8000 {
		t.Errorf("the longest text is %d bytes: none is longer than a notification", longest)
	}
}
