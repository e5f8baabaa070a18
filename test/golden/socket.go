package golden

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	codeNoStatus = 1005
	codeCut      = 1006

	writeTimeout  = 5 * time.Second
	goodbyeWait   = time.Second
	eventCapacity = 1024 // beyond that the server feels back pressure
)

type eventKind string

const (
	eventText      eventKind = "text"
	eventBinary    eventKind = "binary"
	eventPong      eventKind = "pong"
	eventClosed    eventKind = "close frame"
	eventCut       eventKind = "cut" // the connection ended without a close frame
	eventViolation eventKind = "violation"
)

// event is something that a connection received.
type event struct {
	kind   eventKind
	data   []byte // a frame's payload, or an error as text
	code   int
	reason string
}

func (e event) String() string {
	switch e.kind {
	case eventText:
		return "text " + excerpt(e.data)
	case eventBinary, eventPong:
		return fmt.Sprintf("%s %x", e.kind, e.data)
	case eventClosed:
		return fmt.Sprintf("close frame %d %q", e.code, e.reason)
	}
	return fmt.Sprintf("%s (%s)", e.kind, e.data)
}

// socket is a WebSocket connection after its handshake. It answers pings and
// close frames, as clients must, and keeps everything else in the order of
// arrival. One goroutine reads; shut waits for it.
type socket struct {
	conn   net.Conn
	reader *bufio.Reader
	events chan event
	stop   chan struct{}
	done   chan struct{}

	returned []event // put back by unread, read first

	writeMu   sync.Mutex
	closeSent bool
}

func newSocket(conn net.Conn, reader *bufio.Reader) *socket {
	s := &socket{
		conn: conn, reader: reader,
		events: make(chan event, eventCapacity),
		stop:   make(chan struct{}), done: make(chan struct{}),
	}
	go s.read()
	return s
}

// next waits for what the connection receives next; false after timeout.
func (s *socket) next(ctx context.Context, timeout time.Duration) (event, bool) {
	if len(s.returned) > 0 {
		e := s.returned[0]
		s.returned = s.returned[1:]
		return e, true
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case e := <-s.events:
		return e, true
	case <-timer.C:
		return event{}, false
	case <-ctx.Done():
		return event{}, false
	}
}

// unread makes next return events again.
func (s *socket) unread(events ...event) {
	s.returned = append(append([]event(nil), events...), s.returned...)
}

// write sends one frame. A failure is no event of its own: what the server
// did to the connection shows on the reading side.
func (s *socket) write(f frame) {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	if s.closeSent {
		return
	}
	s.closeSent = f.opcode == opClose
	_ = s.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, _ = s.conn.Write(appendFrame(nil, f))
}

func (s *socket) writeClose(code int) {
	s.write(frame{final: true, opcode: opClose, payload: binary.BigEndian.AppendUint16(nil, uint16(code))})
}

// drop resets the connection: the server sees RST and no close frame.
func (s *socket) drop() {
	if tcp, ok := s.conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	s.abandon()
}

// shut says goodbye and ends the connection.
func (s *socket) shut() {
	s.writeClose(1000)
	timer := time.NewTimer(goodbyeWait)
	defer timer.Stop()
	select {
	case <-s.done:
	case <-timer.C:
	}
	s.abandon()
}

func (s *socket) abandon() {
	select {
	case <-s.stop:
	default:
		close(s.stop)
	}
	_ = s.conn.Close()
	<-s.done
}

func (s *socket) read() {
	defer close(s.done)
	var (
		message  []byte
		opcode   byte
		finished bool // a close frame came
	)
	for {
		f, err := readFrame(s.reader)
		if err != nil {
			if errors.Is(err, errProtocol) {
				s.emit(event{kind: eventViolation, data: []byte(err.Error())})
			} else if !finished {
				s.emit(event{kind: eventCut, code: codeCut, data: []byte(err.Error())})
			}
			return
		}
		if finished {
			s.violation("frame with opcode %#x after the close frame", f.opcode)
			return
		}
		switch f.opcode {
		case opText, opBinary, opContinuation:
			if (f.opcode == opContinuation) != (opcode != 0) {
				s.violation("opcode %#x out of turn", f.opcode)
				return
			}
			if f.opcode != opContinuation {
				opcode = f.opcode
			}
			message = append(message, f.payload...)
			if !f.final {
				continue
			}
			kind := eventBinary
			if opcode == opText {
				kind = eventText
				if !utf8.Valid(message) {
					s.violation("text is not UTF-8: %x", message)
					return
				}
			}
			s.emit(event{kind: kind, data: message})
			message, opcode = nil, 0
		case opPing:
			s.write(frame{final: true, opcode: opPong, payload: f.payload})
		case opPong:
			s.emit(event{kind: eventPong, data: f.payload})
		case opClose:
			finished = true
			code := codeNoStatus
			reason := ""
			if len(f.payload) == 1 {
				s.violation("close frame of one byte")
				return
			}
			if len(f.payload) >= 2 {
				code = int(binary.BigEndian.Uint16(f.payload))
				reason = string(f.payload[2:])
			}
			s.write(frame{final: true, opcode: opClose, payload: f.payload})
			s.emit(event{kind: eventClosed, code: code, reason: reason})
		default:
			s.violation("opcode %#x", f.opcode)
			return
		}
	}
}

func (s *socket) violation(format string, args ...any) {
	err := fmt.Errorf("%w: "+format, append([]any{errProtocol}, args...)...)
	s.emit(event{kind: eventViolation, data: []byte(err.Error())})
}

func (s *socket) emit(e event) {
	select {
	case s.events <- e:
	case <-s.stop:
	}
}
