package realtime

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// longPollOp is the first byte of a KindLongPoll message. A node asks another
// one for one of its sessions, which is the message's topic; answers carry the
// number of the request. All messages may get lost.
type longPollOp byte

const (
	opPoll     longPollOp = 'g' // a client polls
	opWithdraw longPollOp = 'x' // the poll takes nothing any more
	opReturn   longPollOp = 'n' // the messages of the poll did not reach the client
	opPost     longPollOp = 'p' // frames of a client, as parts

	opAccepted longPollOp = 'a' // the session is there; the answer takes time
	opMessages longPollOp = 'm' // answer of a poll, as parts
	opStatus   longPollOp = 's' // answer of a POST, or of a poll without messages
)

func (op longPollOp) isAnswer() bool {
	return op == opAccepted || op == opMessages || op == opStatus
}

// longPollMessage is one message between nodes. Parts are marked as binary
// frames only in opPost.
type longPollMessage struct {
	op     longPollOp
	number uint64
	status int // of opStatus
	parts  []clientFrame
}

const (
	// maxBusBatch bounds the parts of one message, in bytes; a single part may
	// be larger.
	maxBusBatch = 512 << 10
	maxStatus   = 999
)

var errLongPollMessage = errors.New("bad long-polling message")

// encode writes the operation, the number, and then the status or the parts:
// each its length times two, plus one for a binary frame, and its bytes.
func (m *longPollMessage) encode() []byte {
	size := 1 + 2*binary.MaxVarintLen64
	for _, p := range m.parts {
		size += binary.MaxVarintLen64 + len(p.data)
	}
	b := append(make([]byte, 0, size), byte(m.op))
	b = binary.AppendUvarint(b, m.number)
	if m.op == opStatus {
		return binary.AppendUvarint(b, uint64(m.status))
	}
	for _, p := range m.parts {
		n := uint64(len(p.data)) << 1
		if p.binary {
			n |= 1
		}
		b = append(binary.AppendUvarint(b, n), p.data...)
	}
	return b
}

// parseLongPollMessage reads what encode wrote. The parts point into body.
func parseLongPollMessage(body []byte) (longPollMessage, error) {
	bad := func(what string) (longPollMessage, error) {
		return longPollMessage{}, fmt.Errorf("%w: %s", errLongPollMessage, what)
	}
	if len(body) == 0 {
		return bad("empty")
	}
	m := longPollMessage{op: longPollOp(body[0])}
	number, n := binary.Uvarint(body[1:])
	if n <= 0 {
		return bad("no number")
	}
	m.number = number
	rest := body[1+n:]
	switch m.op {
	case opPoll, opWithdraw, opReturn, opAccepted:
		if len(rest) > 0 {
			return bad("bytes after the end")
		}
	case opStatus:
		status, n := binary.Uvarint(rest)
		if n <= 0 || n != len(rest) || status > maxStatus {
			return bad("no status")
		}
		m.status = int(status)
	case opPost, opMessages:
		for len(rest) > 0 {
			size, n := binary.Uvarint(rest)
			if n <= 0 || size>>1 > uint64(len(rest)-n) {
				return bad("a part is cut off")
			}
			end := n + int(size>>1)
			m.parts = append(m.parts, clientFrame{data: rest[n:end:end], binary: size&1 == 1})
			rest = rest[end:]
		}
	default:
		return bad("unknown operation")
	}
	return m, nil
}
