package wire

import "encoding/binary"

// Frame is one encoded server message. It is immutable and shared by all its
// receivers; nobody may write to the bytes it returns.
type Frame struct {
	room   []byte // all of its memory
	buf    []byte // the WebSocket header, then the message
	header int    // length of the header
	binary bool
}

// WebSocket is the complete unmasked WebSocket frame: header and message.
func (f *Frame) WebSocket() []byte { return f.buf }

// Payload is the message without the WebSocket header, for long polling.
func (f *Frame) Payload() []byte { return f.buf[f.header:] }

// Binary tells a binary frame from a text frame.
func (f *Frame) Binary() bool { return f.binary }

// headroom is the longest header of an unmasked frame: two bytes and a 64-bit
// length (RFC 6455, section 5.2).
const headroom = 10

const (
	finText   = 0x81
	finBinary = 0x82
)

// newBuffer starts a frame of about size bytes, in the memory of old if that is
// not nil and has enough; the message is appended to it.
func newBuffer(old *Frame, size int) []byte {
	if old != nil && cap(old.room) >= headroom+size {
		return old.room[:headroom]
	}
	return make([]byte, headroom, headroom+size)
}

// newFrame puts the header into the headroom of buf, right before the message. It
// makes old the frame if that is not nil.
func newFrame(old *Frame, buf []byte, isBinary bool) *Frame {
	first := byte(finText)
	if isBinary {
		first = finBinary
	}
	size := len(buf) - headroom
	var header int
	switch {
	case size <= 125:
		header = 2
		buf[headroom-1] = byte(size)
	case size <= 0xffff:
		header = 4
		buf[headroom-3] = 126
		binary.BigEndian.PutUint16(buf[headroom-2:], uint16(size))
	default:
		header = 10
		buf[headroom-9] = 127
		binary.BigEndian.PutUint64(buf[headroom-8:], uint64(size))
	}
	start := headroom - header
	buf[start] = first
	if old == nil {
		old = new(Frame)
	}
	*old = Frame{room: buf, buf: buf[start:len(buf):len(buf)], header: header, binary: isBinary}
	return old
}
