package realtime

import (
	"context"
	"net/http"
	"runtime/debug"
	"time"
)

// maxWaitingPosts is how many POSTs of one session may be under way; more are
// answered 429. phoenix.js sends one at a time.
const maxWaitingPosts = 100

// clientFrame is one frame of a POST.
type clientFrame struct {
	data   []byte
	binary bool
}

// post hands frames to the socket, one after the other, and returns the status
// of the POST. It is 200 when all are handled, where a join is handled when it
// has been answered; 408 when a join, or the session's earlier POST, takes
// longer than the window. The frames behind a slow join are dropped, as in
// Phoenix. A frame that cannot be decoded ends the session, and the POST as 408
// after the window. blocked is called, at most once, before post waits.
func (s *longPollSession) post(ctx context.Context, frames []clientFrame, blocked func()) (status int) {
	if !s.enterPost() {
		return http.StatusTooManyRequests
	}
	defer s.leavePost()
	w := postWait{session: s, blocked: blocked}
	if status := w.await(ctx, s.turn); status != 0 {
		return status
	}
	defer func() { s.turn <- struct{}{} }()
	for _, f := range frames {
		if s.hasEnded() {
			return http.StatusGone
		}
		s.joining = nil
		if err := s.handle(f); err != nil {
			s.polls.engine.log.Info("long-polling session ended: bad frame", "socket_id", s.socket.id, "error", err)
			s.end(ErrClosed)
			w.await(ctx, nil)
			return http.StatusRequestTimeout
		}
		if s.joining == nil {
			continue
		}
		if status := w.await(ctx, s.joining); status != 0 {
			return status
		}
	}
	return http.StatusOK
}

// handle is Socket.handleFrame; a panic of the application's routes is an error.
func (s *longPollSession) handle(f clientFrame) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return s.socket.handleFrame(f.data, f.binary)
}

func (s *longPollSession) enterPost() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.posts == maxWaitingPosts {
		return false
	}
	s.posts++
	return true
}

func (s *longPollSession) leavePost() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.posts--
}

// postWait waits on behalf of one POST.
type postWait struct {
	session *longPollSession
	blocked func()
}

// await waits for c, a window at most, and returns 0 or the status that ends
// the POST.
func (w *postWait) await(ctx context.Context, c <-chan struct{}) (status int) {
	select {
	case <-c:
		return 0
	default:
	}
	if w.blocked != nil {
		w.blocked()
		w.blocked = nil
	}
	window := time.NewTimer(w.session.window)
	defer window.Stop()
	select {
	case <-c:
		return 0
	case <-window.C:
	case <-ctx.Done(): // the client has gone: nobody reads the status
	case <-w.session.polls.ctx.Done():
		return http.StatusGone
	}
	return http.StatusRequestTimeout
}
