//go:build linux

package load

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Opcodes of RFC 6455.
const (
	opText   = 1
	opBinary = 2
	opClose  = 8
	opPing   = 9
	opPong   = 10

	finBit  = 0x80
	maskBit = 0x80
)

// maxFrame bounds what a server may send in one frame.
const maxFrame = 64 << 20

var errFrame = errors.New("bad frame from the server")

// nextFrame splits the first frame off data. size is 0 while it is incomplete.
func nextFrame(data []byte) (opcode byte, payload []byte, size int, err error) {
	if len(data) < 2 {
		return 0, nil, 0, nil
	}
	if data[0]&finBit == 0 || data[0]&0x70 != 0 {
		return 0, nil, 0, fmt.Errorf("%w: first byte %#x: fragments and extensions were not agreed on", errFrame, data[0])
	}
	if data[1]&maskBit != 0 {
		return 0, nil, 0, fmt.Errorf("%w: masked", errFrame)
	}
	head, length := 2, uint64(data[1])
	switch length {
	case 126:
		if head = 4; len(data) < head {
			return 0, nil, 0, nil
		}
		length = uint64(binary.BigEndian.Uint16(data[2:]))
	case 127:
		if head = 10; len(data) < head {
			return 0, nil, 0, nil
		}
		length = binary.BigEndian.Uint64(data[2:])
	}
	if length > maxFrame {
		return 0, nil, 0, fmt.Errorf("%w: %d bytes, more than %d", errFrame, length, maxFrame)
	}
	size = head + int(length)
	if len(data) < size {
		return 0, nil, 0, nil
	}
	return data[0] & 0x0f, data[head:size], size, nil
}

// appendFrame appends a frame: masked with key as clients must, or plain, as
// servers and raw connections send, when key is 0.
func appendFrame(out []byte, opcode byte, payload []byte, key uint32) []byte {
	mask := byte(0)
	if key != 0 {
		mask = maskBit
	}
	out = append(out, finBit|opcode)
	switch n := len(payload); {
	case n < 126:
		out = append(out, mask|byte(n))
	case n < 1<<16:
		out = append(out, mask|126)
		out = binary.BigEndian.AppendUint16(out, uint16(n))
	default:
		out = append(out, mask|127)
		out = binary.BigEndian.AppendUint64(out, uint64(n))
	}
	if key == 0 {
		return append(out, payload...)
	}
	out = binary.LittleEndian.AppendUint32(out, key)
	at := len(out)
	out = append(out, payload...)
	body := out[at:]
	double := uint64(key)<<32 | uint64(key)
	for len(body) >= 8 {
		binary.LittleEndian.PutUint64(body, binary.LittleEndian.Uint64(body)^double)
		body = body[8:]
	}
	for i := range body {
		body[i] ^= byte(key >> (8 * (i & 3)))
	}
	return out
}
