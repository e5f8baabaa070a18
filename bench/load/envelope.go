//go:build linux

package load

import (
	"bytes"
	"errors"
	"fmt"
)

// An Envelope is a message of the server: [join_ref, ref, topic, event,
// payload]. Refs are without quotes, nil when null. All parts point into the
// read buffer: they are valid until the handler returns.
type Envelope struct {
	JoinRef, Ref, Topic, Event, Payload []byte
}

var errEnvelope = errors.New("not a message of serializer version 2")

// parseEnvelope splits a text message. Topics and events of the load tool need
// no escapes; others are an error.
func parseEnvelope(text []byte) (e Envelope, err error) {
	rest := text
	for i, part := range []*[]byte{&e.JoinRef, &e.Ref, &e.Topic, &e.Event} {
		open := byte('[')
		if i > 0 {
			open = ','
		}
		if len(rest) < 2 || rest[0] != open {
			return e, badEnvelope(text)
		}
		rest = rest[1:]
		if i < 2 && bytes.HasPrefix(rest, []byte("null")) {
			rest = rest[4:]
			continue
		}
		if rest[0] != '"' {
			return e, badEnvelope(text)
		}
		end := bytes.IndexByte(rest[1:], '"')
		if end < 0 || bytes.IndexByte(rest[1:1+end], '\\') >= 0 {
			return e, badEnvelope(text)
		}
		*part = rest[1 : 1+end]
		rest = rest[end+2:]
	}
	if len(rest) < 3 || rest[0] != ',' || rest[len(rest)-1] != ']' {
		return e, badEnvelope(text)
	}
	e.Payload = rest[1 : len(rest)-1]
	return e, nil
}

func badEnvelope(text []byte) error {
	return fmt.Errorf("%w: %.200q", errEnvelope, text)
}

// OK is whether the message is a reply with status ok.
func (e *Envelope) OK() bool {
	const status = `"status":"ok"`
	return string(e.Event) == "phx_reply" &&
		(bytes.HasSuffix(e.Payload, []byte(status+"}")) || bytes.HasPrefix(e.Payload, []byte("{"+status)))
}

// Number returns the decimal number that follows mark in data, and what is
// behind it; false when mark is not there or no number follows.
func Number(data, mark []byte) (n uint64, rest []byte, ok bool) {
	at := bytes.Index(data, mark)
	if at < 0 {
		return 0, nil, false
	}
	data = data[at+len(mark):]
	digits := 0
	for digits < len(data) && data[digits]-'0' <= 9 {
		n = n*10 + uint64(data[digits]-'0')
		digits++
	}
	return n, data[digits:], digits > 0
}

// decimal is the number that data consists of.
func decimal(data []byte) (n uint64, ok bool) {
	n, rest, ok := Number(data, nil)
	return n, ok && len(rest) == 0
}
