package main

import (
	"context"
	"sync"
	"time"
)

// A gate stops a client, as if its process did not run, and lets it go on. The
// zero value is open.
type gate struct {
	mu     sync.Mutex
	opened time.Time     // the last time
	shut   chan struct{} // closed by open; nil while open
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut == nil {
		g.shut = make(chan struct{})
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut != nil {
		close(g.shut)
		g.shut, g.opened = nil, time.Now()
	}
}

// pass waits while the gate is closed; false when ctx ended first.
func (g *gate) pass(ctx context.Context) bool {
	g.mu.Lock()
	shut := g.shut
	g.mu.Unlock()
	if shut != nil {
		select {
		case <-shut:
		case <-ctx.Done():
		}
	}
	return ctx.Err() == nil
}

func (g *gate) openSince() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.opened
}
