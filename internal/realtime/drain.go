package realtime

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Drain ends the node's sockets as Phoenix.Socket.PoolDrainer does: those with
// a joined channel get close code 1012 in batches, so that the clients do not
// fall on the other nodes all at once. Those without a channel are left to
// their own devices for two more intervals and then cut. Then it waits for the
// handlers. ctx bounds it all; at its end what is left is cut and the error
// says so.
func (e *Engine) Drain(ctx context.Context) error {
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
	for _, s := range sockets {
		if s.transport != nil && e.has(s) && !s.hasChannels() {
			s.transport.abort()
		}
	}
	ended := make(chan struct{})
	go func() {
		e.channels.Wait()
		close(ended)
	}()
	var errs []error
	select {
	case <-ended:
	case <-ctx.Done():
		errs = append(errs, errors.New("drain: some channels had not ended at the deadline"))
		e.stop(ErrDraining)
	}
	errs = append(errs, e.polls.close())
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.cfg.ShutdownTimeout)
	defer cancel()
	if err := e.pool.Close(closing); err != nil {
		errs = append(errs, fmt.Errorf("drain: %w", err))
	}
	e.stop(ErrDraining)
	return errors.Join(errs...)
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
