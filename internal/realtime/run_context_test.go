package realtime

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestRunContext(t *testing.T) {
	t.Parallel()
	cause := errors.New("on purpose")
	type key struct{}
	tests := map[string]func(t *testing.T, c *runContext, stop func(error)){
		"ended, then looked at": func(t *testing.T, c *runContext, _ func(error)) {
			c.end(cause)
			c.end(nil)
			<-c.Done()
			if !errors.Is(c.Err(), context.Canceled) || !errors.Is(context.Cause(c), cause) {
				t.Errorf("got %v, cause %v", c.Err(), context.Cause(c))
			}
		},
		"looked at, then ended": func(t *testing.T, c *runContext, _ func(error)) {
			if c.Err() != nil || context.Cause(c) != nil {
				t.Errorf("got %v, cause %v", c.Err(), context.Cause(c))
			}
			select {
			case <-c.Done():
				t.Error("done at the beginning")
			default:
			}
			c.end(cause)
			<-c.Done()
			if !errors.Is(context.Cause(c), cause) {
				t.Errorf("cause %v", context.Cause(c))
			}
		},
		"parent ends": func(t *testing.T, c *runContext, stop func(error)) {
			stop(cause)
			<-c.Done()
			if !errors.Is(context.Cause(c), cause) {
				t.Errorf("cause %v", context.Cause(c))
			}
		},
		"children": func(t *testing.T, c *runContext, _ func(error)) {
			child, cancel := context.WithTimeout(c, time.Minute)
			defer cancel()
			late := context.WithValue(c, key{}, "inner")
			c.end(cause)
			<-child.Done()
			if !errors.Is(context.Cause(child), cause) || late.Value(key{}) != "inner" || c.Value(key{}) != "outer" || late.Err() == nil {
				t.Errorf("cause %v, values %v and %v, %v", context.Cause(child), late.Value(key{}), c.Value(key{}), late.Err())
			}
		},
		"a child of an ended one": func(t *testing.T, c *runContext, _ func(error)) {
			c.end(cause)
			child, cancel := context.WithCancel(c)
			defer cancel()
			<-child.Done()
			if !errors.Is(context.Cause(child), cause) {
				t.Errorf("cause %v", context.Cause(child))
			}
		},
		"no deadline": func(t *testing.T, c *runContext, _ func(error)) {
			if _, ok := c.Deadline(); ok {
				t.Error("a deadline")
			}
			c.end(nil)
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				parent, stop := context.WithCancelCause(context.WithValue(t.Context(), key{}, "outer"))
				defer stop(nil)
				test(t, &runContext{parent: parent}, stop)
			})
		})
	}
}
