package pubsub

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// A control does what the bus depends on, by plain means, all the time: it opens
// a connection, listens, and gets a notification. What that takes on a busy
// machine is not the bus's fault.
type control struct {
	mu    sync.Mutex
	worst time.Duration
	began time.Time // of the round under way
}

func startControl(t testing.TB, url string) *control {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := &control{began: time.Now()}
	var working sync.WaitGroup
	working.Go(func() {
		for ctx.Err() == nil {
			c.mu.Lock()
			c.began = time.Now()
			c.mu.Unlock()
			if err := plainRoundTrip(ctx, url); err != nil && ctx.Err() == nil {
				t.Errorf("control: %v", err)
				return
			}
			c.mu.Lock()
			c.worst = max(c.worst, time.Since(c.began))
			c.began = time.Now()
			c.mu.Unlock()
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	})
	t.Cleanup(func() { cancel(); working.Wait() })
	return c
}

func plainRoundTrip(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(ctx, "listen control"); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "notify control"); err != nil {
		return err
	}
	_, err = conn.WaitForNotification(ctx)
	return err
}

// slowest returns the longest round trip since the last call, the one under way
// included.
func (c *control) slowest() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	worst := max(c.worst, time.Since(c.began))
	c.worst = 0
	return worst
}
