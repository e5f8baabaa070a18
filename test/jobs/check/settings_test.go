package main

import (
	"io"
	"strings"
	"testing"
	"time"
)

func TestSettings(t *testing.T) {
	t.Parallel()
	s, err := parseSettings([]string{"-duration", "3m", "-phases", "repeats,webhooks"}, io.Discard)
	if err != nil || !s.long() || len(s.phases) != 2 {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := parseSettings(nil, io.Discard); err != nil || s.long() || len(s.phases) != len(phases()) || s.duration != time.Minute {
		t.Errorf("defaults: %+v, %v", s, err)
	}
	for _, c := range []struct{ arguments, want string }{
		{"-phases repeats,other", `"other" is none of latency, backlog`},
		{"repeats", `unknown argument "repeats"`},
		{"-duration soon", "invalid value"},
	} {
		if _, err := parseSettings(strings.Fields(c.arguments), io.Discard); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.arguments, err, c.want)
		}
	}
}
