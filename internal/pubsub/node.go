package pubsub

import (
	"crypto/rand"
	"fmt"
	"strings"
)

// A node's id is its name, '@' and its incarnation: 60 random bits in base 32,
// new at each start. The incarnation alone is unique.
const incarnationLen = 12

func newIncarnation() string {
	return strings.ToLower(rand.Text()[:incarnationLen])
}

// incarnationOf checks a node's id and returns its last part.
func incarnationOf(node string) (string, error) {
	name, incarnation, found := strings.Cut(node, "@")
	if !found || !nodeName.MatchString(name) || !isIncarnation(incarnation) {
		return "", fmt.Errorf("%w: %q", ErrBadNode, node)
	}
	return incarnation, nil
}

func isIncarnation(s string) bool {
	if len(s) != incarnationLen {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
	}
	return true
}

// Postgres allows 63 bytes for a channel's name, which is why a schema's name
// has at most 48.

// broadcastChannel is listened to by every node.
func broadcastChannel(schema string) string { return schema + ".bus" }

// directChannel is listened to by one node.
func directChannel(schema, incarnation string) string { return schema + "." + incarnation }
