package sock

import (
	"errors"
	"net"
	"time"
)

// libConn is a Conn as the library sees it: the net.Conn that it reads frames
// from and writes its Pong and Close frames to. Only the goroutine whose turn
// it is to read runs the library.
type libConn Conn

// Read returns what has been read from the network, or reads more. It waits,
// except at the start of a frame where the library may be left alone.
func (l *libConn) Read(p []byte) (int, error) {
	c := (*Conn)(l)
	if len(c.in.unread) == 0 {
		if len(p) >= pageSize {
			c.read(p) // a large payload goes straight to its place
			return c.in.n, c.in.err
		}
		c.in.noWait = c.in.atFrameStart
		c.read(nil)
		c.in.noWait = false
		if len(c.in.unread) == 0 {
			if c.in.err == nil {
				return 0, errNoFrame
			}
			return 0, c.in.err
		}
	}
	n := copy(p, c.in.unread)
	c.in.unread = c.in.unread[n:]
	return n, nil
}

// Write collects the pieces of a frame and sends it whole. The texts of the
// library's Close frames are left out, as Cowboy does. A frame that may not be
// sent any more is dropped: the library finds out when it reads.
func (l *libConn) Write(p []byte) (int, error) {
	c := (*Conn)(l)
	c.in.outgoing = append(c.in.outgoing, p...)
	for {
		size, ok := frameSize(c.in.outgoing)
		if !ok || len(c.in.outgoing) < size {
			return len(p), nil
		}
		frame := c.in.outgoing[:size:size]
		c.in.outgoing = c.in.outgoing[size:]
		if len(c.in.outgoing) == 0 {
			c.in.outgoing = nil
		}
		isClose := frame[0] == finClose
		if isClose && size > 4 {
			frame = []byte{finClose, 2, frame[2], frame[3]}
		}
		c.send(frame, isClose)
	}
}

// Close is called by the library when it is done, which its caller knows, and
// when a control frame stays incomplete for its five seconds.
func (l *libConn) Close() error {
	c := (*Conn)(l)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closeQueued {
		c.resetLocked(&CloseError{Kind: Disconnected, Code: codeAbnormal, Err: errIncompleteFrame})
	}
	return nil
}

var errIncompleteFrame = errors.New("control frame incomplete for too long")

func (l *libConn) LocalAddr() net.Addr  { return l.nc.LocalAddr() }
func (l *libConn) RemoteAddr() net.Addr { return l.nc.RemoteAddr() }

// The library sets no deadlines; the pool's sweeper keeps them.

func (*libConn) SetDeadline(time.Time) error      { return errors.ErrUnsupported }
func (*libConn) SetReadDeadline(time.Time) error  { return errors.ErrUnsupported }
func (*libConn) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }
