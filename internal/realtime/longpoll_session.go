package realtime

import (
	"crypto/rand"
	"net/http"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/trunkline/trunkline/internal/sock"
	"github.com/trunkline/trunkline/internal/wire"
)

// pollKey names one poll: the node that took the HTTP request, and its number
// there.
type pollKey struct {
	node   string
	number uint64
}

// pollAnswer is what a poll gets.
type pollAnswer struct {
	status   int // 200 with messages; 204; 410: the session has ended; 500: see send
	messages [][]byte
}

// longPollSession is the transport of a socket whose client polls, Phoenix's
// Transports.LongPoll.Server. It has no goroutine: whoever sends, polls or
// posts does the work, and one timer watches for inactivity.
//
// The newest poll counts. One that it replaces waits out its window and gets
// 204, as in Phoenix; were it answered at once, two pollers of one session
// would chase each other. A message is handed to one poll only. When that is
// known not to have reached the client's connection the messages are put back,
// unless a newer poll has begun meanwhile.
type longPollSession struct {
	id     string
	polls  *longPolls
	socket *Socket
	window time.Duration
	limit  int // of bytes in the queue

	turn    chan struct{} // holds a value while no POST is at work
	joining chan struct{} // of the POST at work: the join that its latest frame started

	mu       sync.Mutex // guards the following
	ended    bool
	idle     *time.Timer
	lastPoll time.Time
	posts    int // at work or waiting for their turn
	queue    [][]byte
	bytes    int
	garbled  bool // a message that no answer can hold was dropped: the next poll fails
	current  pollKey
	ready    func()   // tells the current poll, while it waits
	taken    [][]byte // what the current poll took, until it is known to have arrived
}

func newLongPollSession(p *longPolls, socket *Socket) *longPollSession {
	s := &longPollSession{
		id:     rand.Text(),
		polls:  p,
		socket: socket,
		window: socket.mount.opts.LongPoll.Window,
		limit:  p.engine.cfg.Sock.QueueBytes,
		turn:   make(chan struct{}, 1),
	}
	if s.limit <= 0 {
		s.limit = sock.DefaultQueueBytes
	}
	s.turn <- struct{}{}
	socket.transport = s
	socket.onJoin = func(c *Channel) {
		c.decided = make(chan struct{})
		s.joining = c.decided
	}
	return s
}

// start begins to watch for inactivity.
func (s *longPollSession) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.lastPoll = time.Now()
	s.idle = time.AfterFunc(s.patience(), func() { s.polls.spawn(s.checkIdle) })
}

func (s *longPollSession) patience() time.Duration { return s.window + s.window/2 }

func (s *longPollSession) checkIdle() {
	s.mu.Lock()
	gone := time.Since(s.lastPoll) > s.patience()
	if !s.ended && !gone {
		s.idle.Reset(s.patience())
	}
	s.mu.Unlock()
	if gone {
		s.end(ErrInactive)
	}
}

func (s *longPollSession) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes
}

func (s *longPollSession) sendOnce(f *wire.Frame) (kept bool) {
	s.send(f, nil)
	return true
}

// send queues a message. A client that polls too slowly for its queue loses its
// session. A binary frame that is not UTF-8 fits in no JSON answer: it is
// dropped, and the next poll answered with 500, as Phoenix does; but here the
// other messages stay queued.
func (s *longPollSession) send(f *wire.Frame, _ *sock.Batch) bool {
	msg := f.Payload()
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return false
	}
	switch {
	case f.Binary() && !utf8.Valid(msg):
		s.garbled = true
	case len(s.queue) > 0 && s.bytes+len(msg) > s.limit:
		s.mu.Unlock()
		s.polls.engine.log.Warn("long-polling session ended: too slow for what waits for it", "socket_id", s.socket.id, "limit", s.limit)
		s.end(ErrClosed)
		return false
	default:
		s.queue = append(s.queue, msg)
		s.bytes += len(msg)
	}
	ready := s.ready
	s.ready = nil
	s.mu.Unlock()
	if ready != nil {
		ready()
	}
	return true
}

// close ends the session; a poll that waits learns it at once.
func (s *longPollSession) close(code int) {
	switch code {
	case closeGoingAway:
		s.end(ErrDisconnected)
	case closeServiceRestart:
		s.end(ErrDraining)
	default:
		s.end(ErrClosed)
	}
}

func (s *longPollSession) abort() { s.end(ErrClosed) }

// end ends the session: at once for its client, and soon after for its channels.
func (s *longPollSession) end(reason error) {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	s.ended = true
	if s.idle != nil {
		s.idle.Stop()
	}
	ready := s.ready
	s.ready = nil
	s.mu.Unlock()
	s.polls.forget(s.id)
	if ready != nil {
		ready()
	}
	// Not here: whoever sends or closes may hold locks that terminate needs.
	// After polls.close there is no session left that this could be missed for.
	s.polls.spawn(func() { s.socket.terminate(reason) })
}

func (s *longPollSession) hasEnded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// poll makes key the newest poll. ready, which must not block, is called at
// most once: as soon as take has something for it. It reports whether that was
// now.
func (s *longPollSession) poll(key pollKey, ready func()) bool {
	s.mu.Lock()
	s.lastPoll = time.Now()
	s.current, s.taken = key, nil
	now := s.ended || s.garbled || len(s.queue) > 0
	if now {
		s.ready = nil
	} else {
		s.ready = ready
	}
	s.mu.Unlock()
	if now {
		ready()
	}
	return now
}

// withdraw ends a poll that takes nothing any more.
func (s *longPollSession) withdraw(key pollKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == key {
		s.ready = nil
	}
}

// take answers a poll that ends: with what waits, as much as goes into size
// bytes but one message at least.
func (s *longPollSession) take(key pollKey, size int) pollAnswer {
	s.mu.Lock()
	defer s.mu.Unlock()
	current := s.current == key
	if current {
		s.ready = nil
	}
	switch {
	case current && s.garbled:
		s.garbled = false
		return pollAnswer{status: http.StatusInternalServerError}
	case current && len(s.queue) > 0:
		n, bytes := 0, 0
		for n < len(s.queue) && (n == 0 || bytes+len(s.queue[n]) <= size) {
			bytes += len(s.queue[n])
			n++
		}
		s.taken = s.queue[:n:n]
		s.queue = s.queue[n:]
		s.bytes -= bytes
		if len(s.queue) == 0 {
			s.queue = nil
		}
		return pollAnswer{status: http.StatusOK, messages: s.taken}
	case s.ended:
		return pollAnswer{status: http.StatusGone}
	default:
		return pollAnswer{status: http.StatusNoContent}
	}
}

// settle says whether a poll's answer reached the client's connection. What did
// not is put back in front.
func (s *longPollSession) settle(key pollKey, delivered bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != key {
		return
	}
	if !delivered {
		for _, msg := range s.taken {
			s.bytes += len(msg)
		}
		s.queue = append(s.taken, s.queue...)
	}
	s.taken = nil
}
