package golden

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Opcodes of RFC 6455, section 5.2.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
)

const maxFrame = 16 << 20 // bytes; the largest recorded frame has 300 kB

// errProtocol is a breach of RFC 6455 by the server.
var errProtocol = errors.New("WebSocket protocol violation")

// frame is one WebSocket frame as it stands on the wire.
type frame struct {
	final   bool
	opcode  byte
	payload []byte
}

// readFrame reads one frame of a server, which must be unmasked and without
// extension bits.
func readFrame(r *bufio.Reader) (frame, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	f := frame{final: head[0]&0x80 != 0, opcode: head[0] & 0x0F}
	if head[0]&0x70 != 0 {
		return frame{}, fmt.Errorf("%w: reserved bits %#x", errProtocol, head[0]&0x70)
	}
	if head[1]&0x80 != 0 {
		return frame{}, fmt.Errorf("%w: masked frame from a server", errProtocol)
	}
	size := uint64(head[1] & 0x7F)
	extended := 0
	switch size {
	case 126:
		extended = 2
	case 127:
		extended = 8
	}
	if extended > 0 {
		var length [8]byte
		if _, err := io.ReadFull(r, length[8-extended:]); err != nil {
			return frame{}, err
		}
		size = binary.BigEndian.Uint64(length[:])
	}
	if size > maxFrame {
		return frame{}, fmt.Errorf("%w: frame of %d bytes, the limit is %d", errProtocol, size, maxFrame)
	}
	if f.opcode >= opClose && (size > 125 || !f.final) {
		return frame{}, fmt.Errorf("%w: control frame fragmented or over 125 bytes", errProtocol)
	}
	f.payload = make([]byte, size)
	if _, err := io.ReadFull(r, f.payload); err != nil {
		return frame{}, err
	}
	return f, nil
}

// appendFrame appends f as a client writes it: masked with a fresh key.
func appendFrame(dst []byte, f frame) []byte {
	first := f.opcode
	if f.final {
		first |= 0x80
	}
	dst = append(dst, first)
	switch size := len(f.payload); {
	case size < 126:
		dst = append(dst, 0x80|byte(size))
	case size <= 0xFFFF:
		dst = binary.BigEndian.AppendUint16(append(dst, 0x80|126), uint16(size))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 0x80|127), uint64(size))
	}
	var key [4]byte
	_, _ = rand.Read(key[:]) // never fails (crypto/rand)
	dst = append(dst, key[:]...)
	for i, b := range f.payload {
		dst = append(dst, b^key[i%4])
	}
	return dst
}
