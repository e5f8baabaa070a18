package history

import (
	"fmt"
	"strings"
	"time"
)

const (
	defaultIDKey    = "id"
	defaultPageSize = 100
	maxPageSize     = 1000
	maxPatterns     = 1000
)

// A Pattern makes the topics that match it durable, and says how.
type Pattern struct {
	// Pattern is a topic, or the beginning of topics followed by an asterisk:
	// "room:*". The first pattern that matches a topic applies.
	Pattern string

	// IDKey is the key of the message's id in payloads. A payload that has it
	// is refused. Default "id".
	IDKey string

	// MaxAge is how long messages are kept. 0 keeps them for ever.
	MaxAge time.Duration

	// MaxCount is how many of the newest messages of a topic can be read. 0
	// sets no limit.
	MaxCount int64

	// Last is how many of the newest messages a join without last_seen_id gets.
	Last int

	// PageSize bounds the messages of a join reply; at most 1000. Default 100.
	PageSize int
}

// patterns are those of a configuration, checked, with defaults filled in.
type patterns []Pattern

// newPatterns checks what the configuration says and fills in defaults.
func newPatterns(config []Pattern) (patterns, error) {
	if len(config) > maxPatterns {
		return nil, fmt.Errorf("history: %d patterns; at most %d are allowed", len(config), maxPatterns)
	}
	seen := make(map[string]bool, len(config))
	out := make(patterns, len(config))
	for i, p := range config {
		if p.IDKey == "" {
			p.IDKey = defaultIDKey
		}
		if p.PageSize == 0 {
			p.PageSize = defaultPageSize
		}
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("history: pattern %q: %w", p.Pattern, err)
		}
		if seen[p.Pattern] {
			return nil, fmt.Errorf("history: pattern %q is given twice", p.Pattern)
		}
		seen[p.Pattern] = true
		out[i] = p
	}
	return out, nil
}

func (p Pattern) check() error {
	if err := checkText(ErrTopic, p.Pattern, 1, maxTopic); err != nil {
		return err
	}
	if err := checkText(ErrReservedKey, p.IDKey, 1, 64); err != nil {
		return fmt.Errorf("IDKey: %w", err)
	}
	switch {
	case strings.Contains(strings.TrimSuffix(p.Pattern, "*"), "*"):
		return fmt.Errorf("an asterisk may only stand at the end")
	case p.IDKey == "message_id" || p.IDKey == "payload":
		return fmt.Errorf("IDKey %q is a key of edit events", p.IDKey)
	case p.MaxAge < 0 || p.MaxCount < 0 || p.Last < 0:
		return fmt.Errorf("MaxAge, MaxCount and Last must not be negative")
	case p.MaxAge > 0 && p.MaxAge < time.Minute:
		return fmt.Errorf("MaxAge is %v; must be at least a minute", p.MaxAge)
	case p.PageSize < 1 || p.PageSize > maxPageSize:
		return fmt.Errorf("PageSize is %d; must be 1 to %d", p.PageSize, maxPageSize)
	}
	return nil
}

// match returns the first pattern that the topic matches.
func (ps patterns) match(topic string) (*Pattern, bool) {
	for i := range ps {
		if prefix, ok := strings.CutSuffix(ps[i].Pattern, "*"); ok && strings.HasPrefix(topic, prefix) || ps[i].Pattern == topic {
			return &ps[i], true
		}
	}
	return nil, false
}

// longestAge is how long any message is kept; 0 is for ever.
func (ps patterns) longestAge() time.Duration {
	var longest time.Duration
	for _, p := range ps {
		if p.MaxAge == 0 {
			return 0
		}
		longest = max(longest, p.MaxAge)
	}
	return longest
}
