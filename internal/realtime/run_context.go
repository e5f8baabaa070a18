package realtime

import (
	"context"
	"sync"
	"time"
)

// A runContext is the context of a channel's run. Handlers seldom look whether
// it has ended, and a real one is registered with its parent, so that is made
// when somebody does.
type runContext struct {
	parent context.Context

	mu     sync.Mutex
	ended  bool
	cause  error
	real   context.Context // nil until needed
	cancel context.CancelCauseFunc
}

// end is the context's CancelCauseFunc.
func (c *runContext) end(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.real != nil:
		c.cancel(cause)
	case !c.ended:
		c.ended, c.cause = true, cause
	}
}

func (c *runContext) context() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.real == nil {
		c.real, c.cancel = context.WithCancelCause(c.parent)
		if c.ended {
			c.cancel(c.cause)
		}
	}
	return c.real
}

func (c *runContext) Deadline() (time.Time, bool) { return c.parent.Deadline() }
func (c *runContext) Done() <-chan struct{}       { return c.context().Done() }
func (c *runContext) Err() error                  { return c.context().Err() }

// Value asks the real context: contexts made from this one find it so.
func (c *runContext) Value(key any) any { return c.context().Value(key) }
