package realtime

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Run keeps the connections' deadlines until ctx ends, then drains the node and
// returns. DrainTimeout bounds the drain; nil means that it was complete.
func (e *Engine) Run(ctx context.Context) error {
	background := context.WithoutCancel(ctx)
	poolCtx, stopPool := context.WithCancel(background)
	defer stopPool()
	pool := make(chan error, 1)
	go func() { pool <- e.pool.Run(poolCtx) }()
	<-ctx.Done()

	drain, cancel := context.WithTimeout(background, e.cfg.DrainTimeout)
	defer cancel()
	err := e.drain(drain)
	e.stop(ErrDraining)
	e.runs.Close()
	if err == nil { // else some are not to be waited for
		e.workers.Wait()
	}
	stopPool()
	return errors.Join(err, e.polls.close(), <-pool)
}

// drain ends the node's sockets as Phoenix.Socket.PoolDrainer does: those with
// a joined channel get close code 1012 in batches, so that the clients do not
// fall on the other nodes all at once. Those without a channel are left to
// their own devices for two more intervals and then cut. Then it waits for the
// handlers.
func (e *Engine) drain(ctx context.Context) error {
	e.mu.Lock()
	e.draining.Store(true)
	sockets := make([]*Socket, 0, len(e.sockets))
	for s := range e.sockets {
		sockets = append(sockets, s)
	}
	e.mu.Unlock()

	var idle []*Socket
	closed := 0
	for _, s := range sockets {
		if !s.hasChannels() {
			idle = append(idle, s)
			continue
		}
		if closed > 0 && closed%e.cfg.DrainBatch == 0 && !pause(ctx, e.cfg.DrainInterval) {
			break
		}
		s.transport.close(closeServiceRestart)
		closed++
	}
	if len(sockets) > 0 {
		e.log.Info("draining", "sockets", closed, "without_channels", len(idle))
	}
	e.awaitGone(ctx, idle, 2*e.cfg.DrainInterval)
	for _, s := range idle {
		switch {
		case !e.has(s):
		case s.hasChannels(): // joined meanwhile
			s.transport.close(closeServiceRestart)
		default:
			s.transport.abort()
		}
	}
	ended := make(chan struct{})
	go func() {
		e.channels.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("drain: some channels had not ended after %v", e.cfg.DrainTimeout)
	}
}

func (e *Engine) has(s *Socket) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, ok := e.sockets[s]
	return ok
}

// awaitGone waits until the sockets are gone, no longer than limit.
func (e *Engine) awaitGone(ctx context.Context, sockets []*Socket, limit time.Duration) {
	end := time.Now().Add(limit)
	for _, s := range sockets {
		for e.has(s) {
			if time.Now().After(end) || !pause(ctx, 20*time.Millisecond) {
				return
			}
		}
	}
}

// pause waits for d; false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
