package wire

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// eventReply is the event of every reply.
const eventReply = "phx_reply"

// Reply encodes the answer to a push: event phx_reply, with the status and
// response as payload. joinRef and ref are raw JSON, nil for null. The response
// may be any JSON value; a binary one is sent in a binary frame (version 2).
//
// Errors: ErrBinaryToV1, ErrTooLong, ErrNotText, ErrUTF8, ErrVersion.
func (v Version) Reply(joinRef, ref []byte, topic, status string, response Payload) (*Frame, error) {
	return v.ReplyIn(nil, joinRef, ref, topic, status, response)
}

// ReplyIn is Reply that uses a frame again, which nobody may look at any more;
// nil for a new one.
func (v Version) ReplyIn(old *Frame, joinRef, ref []byte, topic, status string, response Payload) (*Frame, error) {
	if !response.Binary {
		return v.text(old, message{
			joinRef: joinRef, ref: ref, topic: topic, event: eventReply,
			status: status, isReply: true, payload: response.Data,
		})
	}
	return v.binary(old, kindReply, []headerField{
		{name: "join_ref", ref: joinRef}, {name: "ref", ref: ref}, {name: "topic", text: topic}, {name: "status", text: status},
	}, response.Data)
}

// ReplyOddTopic is Reply to a frame whose topic is no string (TopicOdd): topic
// is its raw JSON, and echoed. There is no binary form: ErrNotText.
func (v Version) ReplyOddTopic(joinRef, ref, topic []byte, status string, response Payload) (*Frame, error) {
	if response.Binary {
		return nil, fmt.Errorf("wire: encode topic: %w", ErrNotText)
	}
	return v.text(nil, message{
		joinRef: joinRef, ref: ref, oddTopic: topic, event: eventReply,
		status: status, isReply: true, payload: response.Data,
	})
}

// Push encodes a message of the server to one client; its ref is null.
//
// Errors: ErrPayloadNotMap (version 2), ErrBinaryToV1, ErrTooLong, ErrNotText,
// ErrUTF8, ErrVersion.
func (v Version) Push(joinRef []byte, topic, event string, payload Payload) (*Frame, error) {
	return v.Control(joinRef, nil, topic, event, payload)
}

// Broadcast encodes a message to all subscribers of a topic, once for all who
// share the serializer; join_ref and ref are null. Errors as in Push.
func (v Version) Broadcast(topic, event string, payload Payload) (*Frame, error) {
	if !payload.Binary {
		return v.Control(nil, nil, topic, event, payload)
	}
	return v.binary(nil, kindBroadcast, []headerField{{name: "topic", text: topic}, {name: "event", text: event}}, payload.Data)
}

// Control encodes phx_close and phx_error, which carry the join_ref of the
// channel as ref too. Errors as in Push; a binary frame has no place for the
// ref and leaves it out, as Phoenix does.
func (v Version) Control(joinRef, ref []byte, topic, event string, payload Payload) (*Frame, error) {
	if payload.Binary {
		return v.binary(nil, kindPush, []headerField{
			{name: "join_ref", ref: joinRef}, {name: "topic", text: topic}, {name: "event", text: event},
		}, payload.Data)
	}
	if v == V2 && !isMap(payload.Data) {
		return nil, fmt.Errorf("wire: encode event %.64q: %w", event, ErrPayloadNotMap)
	}
	return v.text(nil, message{joinRef: joinRef, ref: ref, topic: topic, event: event, payload: payload.Data})
}

// isMap tells whether data, which is valid JSON or empty, is an object.
func isMap(data []byte) bool {
	i := skipSpace(data, 0)
	return len(data) == 0 || i < len(data) && data[i] == '{'
}

// message is what the text encoders write.
type message struct {
	joinRef, ref []byte
	topic, event string
	oddTopic     []byte // raw JSON, instead of topic
	isReply      bool
	status       string // of a reply
	payload      []byte // of a reply: its response
}

func (v Version) text(old *Frame, m message) (*Frame, error) {
	for _, field := range []struct{ name, value string }{{"topic", m.topic}, {"event", m.event}, {"status", m.status}} {
		if !utf8.ValidString(field.value) {
			return nil, fmt.Errorf("wire: encode %s %.64q: %w", field.name, field.value, ErrUTF8)
		}
	}
	// What the JSON around the values takes, rounded up.
	const frameOverhead = 80
	buf := newBuffer(old, frameOverhead+len(m.joinRef)+len(m.ref)+len(m.topic)+len(m.oddTopic)+len(m.event)+len(m.status)+len(m.payload))
	switch v {
	case V1:
		buf = append(buf, `{"event":`...)
		buf = appendQuoted(buf, m.event)
		buf = append(buf, `,"payload":`...)
		buf = m.appendPayload(buf)
		buf = append(buf, `,"ref":`...)
		buf = appendRef(buf, m.ref)
		buf = append(buf, `,"topic":`...)
		buf = m.appendTopic(buf)
		buf = append(buf, '}')
	case V2:
		buf = append(buf, '[')
		buf = appendRef(buf, m.joinRef)
		buf = append(buf, ',')
		buf = appendRef(buf, m.ref)
		buf = append(buf, ',')
		buf = m.appendTopic(buf)
		buf = append(buf, ',')
		buf = appendQuoted(buf, m.event)
		buf = append(buf, ',')
		buf = m.appendPayload(buf)
		buf = append(buf, ']')
	default:
		return nil, fmt.Errorf("wire: encode with version %d: %w", uint8(v), ErrVersion)
	}
	return newFrame(old, buf, false), nil
}

func (m *message) appendTopic(buf []byte) []byte {
	if m.oddTopic != nil {
		return append(buf, m.oddTopic...)
	}
	return appendQuoted(buf, m.topic)
}

func (m *message) appendPayload(buf []byte) []byte {
	if !m.isReply {
		return appendJSON(buf, m.payload)
	}
	buf = append(buf, `{"response":`...)
	buf = appendJSON(buf, m.payload)
	buf = append(buf, `,"status":`...)
	buf = appendQuoted(buf, m.status)
	return append(buf, '}')
}

func appendJSON(buf, data []byte) []byte {
	if len(data) == 0 {
		return append(buf, "{}"...)
	}
	return append(buf, data...)
}

func appendRef(buf, ref []byte) []byte {
	if len(ref) == 0 {
		return append(buf, "null"...)
	}
	return append(buf, ref...)
}

// headerField is one string in the header of a binary frame: a text, or a ref
// whose text is wanted.
type headerField struct {
	name string
	text string
	ref  []byte
}

func (v Version) binary(old *Frame, kind byte, fields []headerField, data []byte) (*Frame, error) {
	switch v {
	case V1:
		return nil, fmt.Errorf("wire: encode: %w", ErrBinaryToV1)
	case V2:
	default:
		return nil, fmt.Errorf("wire: encode with version %d: %w", uint8(v), ErrVersion)
	}
	size := 1 + len(fields) + len(data)
	for _, field := range fields {
		size += len(field.text) + len(field.ref)
	}
	buf := newBuffer(old, size)
	buf = append(buf, kind)
	lengths := len(buf)
	buf = append(buf, make([]byte, len(fields))...)
	for n, field := range fields {
		start := len(buf)
		if field.ref != nil {
			value, err := refText(field.ref)
			if err != nil {
				return nil, fmt.Errorf("wire: encode %s: %w", field.name, err)
			}
			buf = append(buf, value...)
		}
		buf = append(buf, field.text...)
		length := len(buf) - start
		if length > 255 {
			return nil, fmt.Errorf("wire: encode %s of %d bytes: %w", field.name, length, ErrTooLong)
		}
		buf[lengths+n] = byte(length)
	}
	return newFrame(old, append(buf, data...), true), nil
}

// refText is a ref as text, as Elixir's to_string gives it: a string without
// its quotes, null as nothing, a number as it was written.
func refText(ref []byte) ([]byte, error) {
	ref = bytes.TrimSpace(ref)
	switch {
	case len(ref) == 0, string(ref) == "null":
		return nil, nil
	case ref[0] == '"':
		return unquote(ref)
	case ref[0] == '{', ref[0] == '[':
		return nil, ErrNotText
	}
	return ref, nil
}
