package realtime

import (
	"net/http/httptest"
	"testing"
)

func TestOrigins(t *testing.T) {
	t.Parallel()
	list, err := ListOrigins("//example.com", "//*.wild.example", "https://secure.example:8443", "http://plain.example")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		policy OriginPolicy
		origin string
		want   bool
	}{
		{"host", HostOrigin("localhost"), "https://localhost:9", true},
		{"host", HostOrigin("localhost"), "http://LOCALHOST", false},
		{"host", HostOrigin("localhost"), "null", false},
		{"host", HostOrigin("localhost"), "file://", false},
		{"host", HostOrigin("localhost"), "", false},
		{"own host", HostOrigin(""), "http://app.example:1", true},
		{"own host", HostOrigin(""), "http://evil.example", false},
		{"any", AnyOrigin, "null", true},
		{"same", SameOrigin, "http://app.example:4000", true},
		{"same", SameOrigin, "http://app.example", false},
		{"same", SameOrigin, "https://app.example:4000", false},
		{"list", list, "http://example.com", true},
		{"list", list, "https://example.com:99", true},
		{"list", list, "http://sub.example.com", false},
		{"list", list, "http://wild.example", true},
		{"list", list, "http://a.b.wild.example", true},
		{"list", list, "http://nothing-wild.example", false},
		{"list", list, "https://secure.example:8443", true},
		{"list", list, "https://secure.example", false},
		{"list", list, "http://plain.example", true},
		{"list", list, "http://plain.example:80", true},
		{"list", list, "http://plain.example:8080", false},
		{"list", list, "null", false},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = "app.example:4000"
		r.Header.Set("Origin", c.origin)
		if got := originAllowed(c.policy, r); got != c.want {
			t.Errorf("%s, origin %q: %v, want %v", c.name, c.origin, got, c.want)
		}
	}
	if !originAllowed(HostOrigin("x"), httptest.NewRequest("GET", "/", nil)) {
		t.Error("a request without Origin must be accepted")
	}
	for _, bad := range []string{"example.com", "http://", "https://h/path", "://"} {
		if _, err := ListOrigins(bad); err == nil {
			t.Errorf("origin %q accepted in a list", bad)
		}
	}
}

func TestPatterns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, topic string
		want           bool
	}{
		{"room:*", "room:", true},
		{"room:*", "room:1", true},
		{"room:*", "room", false},
		{"exact", "exact", true},
		{"exact", "exact:x", false},
		{"*", "", true},
	} {
		p, err := ParsePattern(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Match(c.topic); got != c.want {
			t.Errorf("%q matches %q: %v, want %v", c.pattern, c.topic, got, c.want)
		}
		if p.String() != c.pattern {
			t.Errorf("%q prints as %q", c.pattern, p)
		}
	}
	for _, bad := range []string{"", "a*b", "*a", "a**"} {
		if _, err := ParsePattern(bad); err == nil {
			t.Errorf("pattern %q accepted", bad)
		}
	}
}
