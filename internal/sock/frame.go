package sock

import (
	"encoding/binary"
	"strings"
)

// Close codes that this package sends by itself (RFC 6455, section 7.4.1).
const (
	codeNormal        = 1000
	codeProtocolError = 1002
	codeNoStatus      = 1005
	codeAbnormal      = 1006
	codeTooBig        = 1009
	codeInternalError = 1011
)

// First bytes of a frame: FIN and the opcode (RFC 6455, section 5.2).
const (
	finText   = 0x81
	finBinary = 0x82
	finClose  = 0x88
)

const (
	maxHeader      = 10  // of an unmasked frame
	maxCloseReason = 123 // a control frame's payload of 125 less the code
)

// NewFrame returns payload as one unmasked text or binary frame, for Send. The
// same frame may be sent to any number of connections.
func NewFrame(payload []byte, binary bool) []byte {
	frame := make([]byte, 0, maxHeader+len(payload))
	return append(AppendHeader(frame, len(payload), binary), payload...)
}

// AppendHeader appends the header of an unmasked text or binary frame whose
// payload has n bytes; append the payload behind it.
func AppendHeader(dst []byte, n int, isBinary bool) []byte {
	first := byte(finText)
	if isBinary {
		first = finBinary
	}
	switch {
	case n < 126:
		return append(dst, first, byte(n))
	case n <= 0xffff:
		return binary.BigEndian.AppendUint16(append(dst, first, 126), uint16(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, first, 127), uint64(n))
	}
}

// closeFrame returns a Close frame; a reason that is too long is cut.
func closeFrame(code int, reason string) []byte {
	if len(reason) > maxCloseReason {
		reason = strings.ToValidUTF8(reason[:maxCloseReason], "")
	}
	frame := []byte{finClose, byte(2 + len(reason)), byte(code >> 8), byte(code)}
	return append(frame, reason...)
}

// frameSize returns the length of the unmasked frame at the start of b, false
// while its header is not complete.
func frameSize(b []byte) (int, bool) {
	if len(b) < 2 {
		return 0, false
	}
	switch n := int(b[1] & 0x7f); {
	case n < 126:
		return 2 + n, true
	case n == 126 && len(b) >= 4:
		return 4 + int(binary.BigEndian.Uint16(b[2:])), true
	case n == 127 && len(b) >= 10:
		return 10 + int(binary.BigEndian.Uint64(b[2:])), true
	}
	return 0, false
}
