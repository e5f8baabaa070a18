//go:build linux

package load

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// state of a connection.
type state byte

const (
	connecting state = iota
	upgrading
	joining
	open
	closing // a close frame was sent
	closed
)

// A Conn is one client with its socket.
type Conn struct {
	// ID is the place in the slice that Open returned.
	ID int
	// Topic of the first channel.
	Topic    string
	fd       int
	slot     int // in Load.conns
	state    state
	raw      bool
	stalled  bool
	writing  bool // epoll watches for room to write
	client   Client
	began    time.Time
	lastSent time.Time
	joins    int // sent
	joined   int // answered
	in       []byte
	out      []byte

	// Of Broadcasts: the place of the topic, and the number that the next message
	// of each publisher must have.
	group    int
	expected []uint64
	// Of Requests: the number that the next answer must have, and when what is
	// not answered was sent.
	next uint64
	sent []time.Time
}

// JoinRef is the join_ref of the first channel.
const JoinRef = "j0"

// Push sends a message on the first channel. ref "" is null. A raw connection
// sends it as it is, without a mask.
func (l *Load) Push(c *Conn, ref, event string, payload []byte) {
	l.scratch = appendEnvelope(l.scratch[:0], JoinRef, ref, c.Topic, event, payload)
	l.SendText(c, l.scratch)
}

func appendEnvelope(out []byte, joinRef, ref, topic, event string, payload []byte) []byte {
	out = append(out, `["`...)
	out = append(out, joinRef...)
	if ref == "" {
		out = append(out, `",null,"`...)
	} else {
		out = append(out, `","`...)
		out = append(out, ref...)
		out = append(out, `","`...)
	}
	out = append(out, topic...)
	out = append(out, `","`...)
	out = append(out, event...)
	out = append(out, `",`...)
	out = append(out, payload...)
	return append(out, ']')
}

// SendText sends a text message.
func (l *Load) SendText(c *Conn, text []byte) { l.sendFrame(c, opText, text) }

func (l *Load) sendFrame(c *Conn, opcode byte, payload []byte) {
	key := uint32(0)
	if !c.raw {
		key = l.random.Uint32() | 1
	}
	l.frame = appendFrame(l.frame[:0], opcode, payload, key)
	l.write(c, l.frame)
}

// write sends what the socket takes and keeps the rest.
func (l *Load) write(c *Conn, data []byte) {
	c.lastSent = l.now
	if len(c.out) == 0 {
		n, err := unix.Write(c.fd, data)
		if err != nil && !again(err) {
			l.lost(c, err)
			return
		}
		if data = data[max(n, 0):]; len(data) == 0 {
			return
		}
	}
	c.out = append(c.out, data...)
	if !c.writing {
		c.writing = true
		l.watch(c, unix.EPOLL_CTL_MOD)
	}
}

// flush goes on writing.
func (l *Load) flush(c *Conn) {
	n, err := unix.Write(c.fd, c.out)
	if err != nil && !again(err) {
		l.lost(c, err)
		return
	}
	if c.out = c.out[max(n, 0):]; len(c.out) == 0 {
		c.out, c.writing = nil, false
		l.watch(c, unix.EPOLL_CTL_MOD)
	}
}

func again(err error) bool { return errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) }

// lost is a connection that ended by itself.
func (l *Load) lost(c *Conn, err error) {
	if c.state == closing || c.stalled {
		l.drop(c)
		return
	}
	l.fail(fmt.Errorf("connection %d to %s, topic %q: %w", c.ID, c.client.Address, c.Topic, err))
}

// drop closes the socket.
func (l *Load) drop(c *Conn) {
	if c.state == closed {
		return
	}
	c.state = closed
	_ = unix.Close(c.fd) // nothing is to be saved
	l.conns[c.slot] = nil
	l.freed = append(l.freed, c.slot)
	l.live--
}

// Stall makes a client stop reading. The server may cut it.
func (l *Load) Stall(c *Conn) {
	c.stalled = true
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, c.fd, nil); err != nil {
		l.fail(fmt.Errorf("epoll: %w", err))
	}
}

// Reset closes connections without a word, by a TCP reset.
func (l *Load) Reset(conns []*Conn) {
	for _, c := range conns {
		if c.state != closed {
			// Without it the close is an orderly one, and leaves TIME_WAIT.
			_ = unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
			l.drop(c)
		}
	}
}

// Close closes WebSocket connections by the closing handshake, and returns when
// the server has closed them all.
func (l *Load) Close(conns []*Conn, limit time.Duration) error {
	for _, c := range conns {
		if c.state != closed {
			l.sendFrame(c, opClose, []byte{1000 >> 8, 1000 & 0xff})
			c.state = closing
		}
	}
	return l.Until(limit, "closed connections", func() (int, int) {
		done := 0
		for _, c := range conns {
			if c.state == closed {
				done++
			}
		}
		return done, len(conns)
	})
}
