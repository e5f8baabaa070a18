//go:build linux

package load

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// readBuffer is what one read takes at most.
	readBuffer = 1 << 20
	// heartbeatAfter is the silence after which a client sends a heartbeat;
	// servers cut clients after 60 s.
	heartbeatAfter = 20 * time.Second
	// beatsPerPoll is how many clients one Poll looks at for that.
	beatsPerPoll = 64
	// eventsPerPoll is how many sockets one Poll handles.
	eventsPerPoll = 512
)

// A Load is a set of clients on one epoll loop.
type Load struct {
	// Handle is called with each message but those that answer heartbeats; with
	// replies to joins too.
	Handle func(c *Conn, e Envelope)

	epoll   int
	events  []unix.EpollEvent
	conns   []*Conn // by slot; nil when closed
	live    int
	free    []int // slots to use again
	freed   []int // the same, from the next Poll on
	now     time.Time
	random  *rand.Rand
	read    []byte
	scratch []byte
	frame   []byte
	beat    int // the slot to look at next
	err     error

	opening opening
}

// New makes one without connections. Close it by Shut.
func New() (*Load, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &Load{
		Handle: func(*Conn, Envelope) {},
		epoll:  epoll,
		events: make([]unix.EpollEvent, eventsPerPoll),
		now:    time.Now(),
		random: rand.New(rand.NewPCG(1, 2)), // masks hide nothing here
		read:   make([]byte, readBuffer),
	}, nil
}

// Shut resets all connections and ends the Load.
func (l *Load) Shut() {
	l.Reset(l.Conns())
	_ = unix.Close(l.epoll)
}

// Conns are the open connections.
func (l *Load) Conns() []*Conn {
	open := make([]*Conn, 0, l.live)
	for _, c := range l.conns {
		if c != nil {
			open = append(open, c)
		}
	}
	return open
}

// Now is when the events that are being handled came.
func (l *Load) Now() time.Time { return l.now }

// Err is the first error.
func (l *Load) Err() error { return l.err }

// Fail makes err the Load's error unless it has one.
func (l *Load) Fail(err error) { l.fail(err) }

func (l *Load) fail(err error) {
	if l.err == nil {
		l.err = err
	}
}

// Poll waits for events, at most so long, and handles them.
func (l *Load) Poll(wait time.Duration) error {
	if l.err != nil {
		return l.err
	}
	l.free, l.freed = append(l.free, l.freed...), l.freed[:0]
	n, err := l.wait(max(wait, 0))
	l.now = time.Now()
	if err != nil {
		return err
	}
	for _, event := range l.events[:n] {
		c := l.conns[event.Fd]
		if c == nil {
			continue
		}
		l.event(c, event.Events)
		if l.err != nil {
			return l.err
		}
	}
	l.heartbeats()
	return l.err
}

// wait is epoll_pwait2, whose timeout is finer than a millisecond.
func (l *Load) wait(wait time.Duration) (int, error) {
	timeout := unix.NsecToTimespec(wait.Nanoseconds())
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(l.epoll), uintptr(unsafe.Pointer(&l.events[0])),
		uintptr(len(l.events)), uintptr(unsafe.Pointer(&timeout)), 0, 0)
	runtime.KeepAlive(l)
	switch errno {
	case 0:
		return int(n), nil
	case unix.EINTR:
		return 0, nil
	}
	return 0, fmt.Errorf("epoll_pwait2: %w", errno)
}

// Until polls until done has reached total; limit bounds it. what names them in
// the error.
func (l *Load) Until(limit time.Duration, what string, progress func() (done, total int)) error {
	for end := time.Now().Add(limit); ; {
		done, total := progress()
		if l.err != nil || done >= total {
			return l.err
		}
		left := time.Until(end)
		if left <= 0 {
			return fmt.Errorf("%s: %d of %d after %v", what, done, total, limit)
		}
		if err := l.Poll(min(left, 100*time.Millisecond)); err != nil {
			return fmt.Errorf("%s: %d of %d: %w", what, done, total, err)
		}
	}
}

// Idle polls for so long.
func (l *Load) Idle(d time.Duration) error {
	for end := time.Now().Add(d); ; {
		left := time.Until(end)
		if left <= 0 {
			return l.err
		}
		if err := l.Poll(left); err != nil {
			return err
		}
	}
}

func (l *Load) event(c *Conn, events uint32) {
	if c.state == connecting {
		l.connected(c)
		return
	}
	if events&unix.EPOLLOUT != 0 && c.writing {
		l.flush(c)
	}
	if events&^unix.EPOLLOUT != 0 && c.state != closed {
		l.receive(c)
	}
}

var errEnded = errors.New("the server closed it")

// receive reads once: what is left makes epoll tell again.
func (l *Load) receive(c *Conn) {
	n, err := unix.Read(c.fd, l.read)
	switch {
	case err != nil && again(err):
		return
	case err != nil:
		l.lost(c, err)
		return
	case n == 0:
		l.lost(c, errEnded)
		return
	}
	data := l.read[:n]
	if len(c.in) > 0 {
		c.in = append(c.in, data...)
		data = c.in
	}
	rest, err := l.consume(c, data)
	switch {
	case err != nil:
		l.fail(fmt.Errorf("connection %d, topic %q: %w", c.ID, c.Topic, err))
	case len(rest) == 0:
		c.in = nil
	case len(c.in) > 0 && len(rest) == len(c.in):
		// nothing was used
	default:
		c.in = append([]byte(nil), rest...)
	}
}

// consume handles all that is whole in data and returns the rest.
func (l *Load) consume(c *Conn, data []byte) (rest []byte, err error) {
	if c.state == upgrading {
		if data, err = l.upgraded(c, data); err != nil || c.state == upgrading {
			return data, err
		}
	}
	for c.state != closed && l.err == nil {
		opcode, payload, size, err := nextFrame(data)
		if err != nil {
			return nil, err
		}
		if size == 0 {
			return data, nil
		}
		data = data[size:]
		switch opcode {
		case opText:
			if err := l.message(c, payload); err != nil {
				return nil, err
			}
		case opPing:
			l.sendFrame(c, opPong, payload)
		case opPong:
		case opClose:
			if c.state != closing {
				return nil, fmt.Errorf("%w: close frame %x", errEnded, payload)
			}
		default:
			return nil, fmt.Errorf("%w: opcode %d", errFrame, opcode)
		}
	}
	return nil, nil
}

// message handles one text message.
func (l *Load) message(c *Conn, text []byte) error {
	e, err := parseEnvelope(text)
	if err != nil {
		return err
	}
	if string(e.Topic) == "phoenix" {
		return nil // a heartbeat's answer
	}
	switch string(e.Event) {
	case "phx_error", "phx_close":
		return fmt.Errorf("the channel ended: %.200q", text)
	case "phx_reply":
		if !e.OK() && !c.raw {
			return fmt.Errorf("refused: %.300q", text)
		}
		if len(e.Ref) > 0 && e.Ref[0] == 'j' {
			l.answered(c)
		}
	}
	l.Handle(c, e)
	return nil
}

// heartbeats sends those that are due, of a few connections in turn.
func (l *Load) heartbeats() {
	for range min(beatsPerPoll, len(l.conns)) {
		l.beat = (l.beat + 1) % len(l.conns)
		c := l.conns[l.beat]
		if c == nil || c.raw || c.stalled || c.state != open || l.now.Sub(c.lastSent) < heartbeatAfter {
			continue
		}
		l.SendText(c, []byte(`[null,"h","phoenix","heartbeat",{}]`))
	}
}

// watch tells epoll what the connection waits for.
func (l *Load) watch(c *Conn, operation int) {
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(c.slot)}
	if c.writing || c.state == connecting {
		event.Events |= unix.EPOLLOUT
	}
	if err := unix.EpollCtl(l.epoll, operation, c.fd, &event); err != nil {
		l.fail(fmt.Errorf("epoll: %w", err))
	}
}
