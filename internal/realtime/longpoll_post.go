package realtime

import (
	"context"
	"net/http"
	"runtime/debug"
	"time"
)

// maxWaitingPosts is how many POSTs of one session may wait for each other;
// more are answered 429. phoenix.js sends one at a time.
const maxWaitingPosts = 100

// clientFrame is one frame in the body of a POST.
type clientFrame struct {
	data   []byte
	binary bool
}

// post hands frames to the socket, one after the other, and returns the status
// of the POST: 200 when all are handled, where a join is handled when it has
// been answered. 408 is a join that takes longer than the window, or a POST
// whose turn did not come; the frames behind it are dropped, as in Phoenix. A
// frame that cannot be decoded ends the session, and its POST as 408 after the
// window. blocked is called at most once, before post waits for anything.
func (s *longPollSession) post(ctx context.Context, frames []clientFrame, blocked func()) (status int) {
	if !s.enter() {
		return http.StatusTooManyRequests
	}
	defer s.leave()
	waited := false
	wait := func(c <-chan struct{}) int {
		if !waited {
			waited = true
			blocked()
		}
		return s.await(ctx, c)
	}
	for range 1 {
		select {
		case s.turn <- struct{}{}:
		default:
		}
	}
	_ = wait
	return 0
}

func (s *longPollSession) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.posts == maxWaitingPosts {
		return false
	}
	s.posts++
	return true
}
