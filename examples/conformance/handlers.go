package main

import (
	"context"

	"github.com/trunkline/trunkline"
)

// A and B show which route a topic took.
type A struct{ extra any }

// Join answers with the handler's name.
func (a *A) Join(_ context.Context, s *trunkline.Socket, _ trunkline.Payload) (any, error) {
	return map[string]any{"handler": "A", "topic": s.Topic(), "extra": a.extra}, nil
}

// B is A's counterpart.
type B struct{}

// Join answers with the handler's name.
func (b *B) Join(_ context.Context, s *trunkline.Socket, _ trunkline.Payload) (any, error) {
	return map[string]any{"handler": "B", "topic": s.Topic()}, nil
}
