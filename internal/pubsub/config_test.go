package pubsub

import (
	"strings"
	"testing"
	"time"
)

func TestConfig(t *testing.T) {
	t.Parallel()
	const url = "postgres://localhost/x"
	for name, test := range map[string]struct {
		config Config
		want   string // part of the error; empty: none
	}{
		"defaults":    {Config{DirectURL: url}, ""},
		"no url":      {Config{}, "DirectURL"},
		"bad url":     {Config{DirectURL: "postgres://%zz"}, "direct database URL"},
		"bad node":    {Config{DirectURL: url, Node: "a b"}, `node name "a b"`},
		"long node":   {Config{DirectURL: url, Node: strings.Repeat("n", 65)}, "1 to 64"},
		"bad schema":  {Config{DirectURL: url, Schema: "A-B"}, `schema name "A-B"`},
		"small queue": {Config{DirectURL: url, QueueBytes: 1000}, "QueueBytes is 1000"},
		"silence":     {Config{DirectURL: url, Silence: time.Second}, "Silence is 1s"},
		"backoff":     {Config{DirectURL: url, MaxBackoff: time.Millisecond}, "MaxBackoff"},
		"negative":    {Config{DirectURL: url, MaxAge: -1}, "negative"},
	} {
		_, err := New(test.config)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: %v, want an error with %q", name, err, test.want)
		}
	}
}

func TestNodeIDs(t *testing.T) {
	t.Parallel()
	b, err := New(Config{DirectURL: "postgres://localhost/x"})
	if err != nil {
		t.Fatal(err)
	}
	if incarnation, err := incarnationOf(b.ID()); err != nil || incarnation != b.incarnation {
		t.Errorf("incarnationOf(%q) = %q, %v", b.ID(), incarnation, err)
	}
	longest := strings.Repeat("s", 48)
	if n := len(directChannel(longest, newIncarnation())); n > 63 {
		t.Errorf("a channel name has %d bytes", n)
	}
	if err := b.PublishTo("web", 1, "t", nil); err == nil {
		t.Error("PublishTo took a name for an id")
	}
	if err := b.PublishTo(b.ID(), 1, "t", nil); err == nil {
		t.Error("PublishTo took the own id")
	}
	if err := b.Publish(1, "t", make([]byte, b.config.MaxMessage)); err == nil {
		t.Error("Publish took more than MaxMessage")
	}
}
