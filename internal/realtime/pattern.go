package realtime

import (
	"fmt"
	"strings"
)

// Pattern is a plain topic or a prefix that ends in one "*".
type Pattern struct {
	text   string
	prefix bool
}

// ParsePattern checks a pattern. As in Phoenix, "*" may only stand at its end.
func ParsePattern(s string) (Pattern, error) {
	if s == "" {
		return Pattern{}, fmt.Errorf("channel pattern is empty: want a topic or a prefix ending in *")
	}
	head, ok := strings.CutSuffix(s, "*")
	if strings.Contains(head, "*") {
		return Pattern{}, fmt.Errorf("channel pattern %q: * may only stand at the end", s)
	}
	return Pattern{text: head, prefix: ok}, nil
}

// Match compares bytes: "room:*" matches "room:" but not "room".
func (p Pattern) Match(topic string) bool {
	if p.prefix {
		return strings.HasPrefix(topic, p.text)
	}
	return topic == p.text
}

func (p Pattern) String() string {
	if p.prefix {
		return p.text + "*"
	}
	return p.text
}
