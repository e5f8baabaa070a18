package presence

import (
	"encoding/binary"
)

// KindPresence is the kind of the tracker's messages on the bus.
const KindPresence byte = 'p'

// What trackers tell each other, in version 1. All numbers are uvarints; a
// string is its length and its bytes.
//
//	message = version kind shards shard name vsn clock delta
//	clock   = length (0 for none) and bytes of AppendClock
//	delta   = the rest, of AppendDelta, or appendLingers; empty for none
//
// Name and vsn are the sender's replica. Shards is the number that the sender
// has: topics are distributed by it, so it must be the same on all nodes.
const messageVersion = 1

// The kinds of messages.
const (
	msgHeartbeat = 1 + iota // clock
	msgHello                // clock; asks for everybody's heartbeat
	msgDelta                // delta, clock
	msgRequest              // clock; to one node: asks it for a transfer
	msgTransfer             // delta, in several messages if large; the clock is in the last
	msgPermdown             // the sender takes leave, of all shards
	msgLingers              // what lingers at the sender, before a transfer to one who has started
	msgKinds
)

type message struct {
	kind          uint64
	shards, shard uint64
	sender        Replica
	clock, delta  []byte // encoded
}

func (m *message) encode() []byte {
	b := make([]byte, 0, len(m.clock)+len(m.delta)+len(m.sender.Name)+32)
	b = binary.AppendUvarint(append(b, messageVersion), m.kind)
	b = binary.AppendUvarint(b, m.shards)
	b = binary.AppendUvarint(b, m.shard)
	b = appendString(b, m.sender.Name)
	b = binary.AppendUvarint(b, m.sender.Vsn)
	b = appendString(b, m.clock)
	return append(b, m.delta...)
}

// decodeMessage reads what encode made; clock and delta point into b, and are
// read later. It is ErrMalformed if it is nothing that this version sends.
func decodeMessage(b []byte) (message, error) {
	r := decoder{rest: b, size: len(b)}
	if v := r.uvarint("version"); r.err == nil && v != messageVersion {
		r.fail("version %d, this is %d", v, messageVersion)
	}
	m := message{kind: r.uvarint("kind"), shards: r.uvarint("shards"), shard: r.uvarint("shard")}
	if r.err == nil && (m.kind == 0 || m.kind >= msgKinds) {
		r.fail("unknown kind %d", m.kind)
	}
	if r.err == nil && m.shard >= m.shards {
		r.fail("shard %d of %d", m.shard, m.shards)
	}
	m.sender = Replica{r.text("name"), r.uvarint("vsn")}
	m.clock = r.bytes("clock")
	if r.err != nil {
		return message{}, r.err
	}
	m.delta = r.rest
	return m, nil
}
