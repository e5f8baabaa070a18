package pubsub

import (
	"crypto/rand"

	"github.com/jackc/pgx/v5/pgtype"
)

// A packed batch is what one statement sends.
type packed struct {
	channels, payloads []string
	ids                []pgtype.UUID
	bodies             [][]byte
	bytes              int
}

func (p *packed) add(channel string, payload []byte) {
	p.channels = append(p.channels, channel)
	p.payloads = append(p.payloads, string(payload))
	p.bytes += len(payload)
}

// pack encodes the messages in their order. Neighbours of one stream share a
// payload as far as they fit; a message that fits none is spilled.
func pack(node string, batch []outgoing) *packed {
	p := &packed{}
	var payload, frame []byte
	var current *stream
	var next uint64 // number that may follow in the payload
	for i := range batch {
		m := &batch[i]
		if frame = frame[:0]; len(m.body)+len(m.topic) <= maxPayload {
			frame = appendFrame(frame, m.kind, m.topic, m.body)
		}
		if len(frame) == 0 || maxHeader+len(frame) > maxPayload {
			id := [spillIDLen]byte{}
			_, _ = rand.Read(id[:]) // never fails
			row := encodeSpilled(m.topic, m.body)
			p.ids = append(p.ids, pgtype.UUID{Bytes: id, Valid: true})
			p.bodies = append(p.bodies, row)
			p.bytes += len(row)
			frame = appendSpilledFrame(frame[:0], m.kind, id)
		}
		if current != m.stream || m.counter != next || len(payload)+len(frame) > maxPayload {
			if current != nil {
				p.add(current.channel, payload)
			}
			current, payload = m.stream, appendHeader(payload[:0], m.stream.header(node, m.counter))
		}
		payload = append(payload, frame...)
		next = m.counter + 1
	}
	if current != nil {
		p.add(current.channel, payload)
	}
	return p
}

// addHeartbeat appends a heartbeat, which must follow all that it counts.
func (p *packed) addHeartbeat(channel, node string, number uint64, h heartbeat) {
	payload := appendHeader(nil, header{stream: streamHeartbeat, node: node, counter: number})
	p.add(channel, appendHeartbeat(payload, h))
}
