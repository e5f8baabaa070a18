package wire

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Decode reads one client frame into e, which it overwrites; on an error e is
// the zero Envelope. binary tells a binary frame from a text frame. Nothing is
// allocated for a text frame without escapes in topic and event.
//
// Version 2 text is `[join_ref, ref, topic, event, payload]`; further elements
// are ignored. Version 1 is an object with topic, event, payload and ref, all
// required, and join_ref; other keys are ignored and the last of equal keys
// counts. A binary frame of version 2 is a zero byte, the lengths of join_ref,
// ref, topic and event in a byte each, those four, and the payload; of version
// 1 it is JSON text.
//
// Errors are of type *DecodeError. ErrUTF8 (close code 1007) goes before any
// other cause, and is returned for text frames only, as the check belongs to
// WebSocket rather than to the serializer.
func (v Version) Decode(frame []byte, binary bool, e *Envelope) error {
	*e = Envelope{}
	var at int
	var err error
	switch {
	case v == V2 && binary:
		at, err = decodeV2Binary(frame, e)
	case v == V2:
		at, err = decodeV2(frame, e)
	case v == V1:
		at, err = decodeV1(frame, e)
	default:
		err = ErrVersion
	}
	if err == nil {
		return nil
	}
	*e = Envelope{}
	if !binary && !utf8.Valid(frame) {
		err = ErrUTF8
	} else if binary && errors.Is(err, ErrUTF8) {
		err = fmt.Errorf("%w: its text is not UTF-8", ErrShape)
	}
	return &DecodeError{Version: v, Binary: binary, Offset: at, Err: err}
}

func decodeV2(frame []byte, e *Envelope) (int, error) {
	i := skipSpace(frame, 0)
	if i == len(frame) {
		return i, ErrSyntax
	}
	if frame[i] != '[' {
		return i, fmt.Errorf("%w: version 2 takes an array", ErrShape)
	}
	var elements [5][]byte
	n := 0
	i = skipSpace(frame, i+1)
	if i < len(frame) && frame[i] == ']' {
		i++
	} else {
		for more := true; more; n++ {
			start := skipSpace(frame, i)
			end, err := skipValue(frame, start, 1)
			if err != nil {
				return end, err
			}
			if n < len(elements) {
				elements[n] = frame[start:end:end]
			}
			i, more, err = skipSeparator(frame, end, ']')
			if err != nil {
				return i, err
			}
		}
	}
	if i = skipSpace(frame, i); i < len(frame) {
		return i, ErrSyntax
	}
	if n < len(elements) {
		return i, fmt.Errorf("%w: version 2 takes an array of 5 elements, got %d", ErrShape, n)
	}
	e.JoinRef, e.Ref = ref(elements[0]), ref(elements[1])
	e.Payload.Data = elements[4]
	return i, e.setTopicEvent(elements[2], elements[3])
}

func decodeV1(frame []byte, e *Envelope) (int, error) {
	i := skipSpace(frame, 0)
	if i == len(frame) {
		return i, ErrSyntax
	}
	if frame[i] != '{' {
		return i, fmt.Errorf("%w: version 1 takes an object", ErrShape)
	}
	var topic, event, payload, msgRef, joinRef []byte
	i = skipSpace(frame, i+1)
	if i < len(frame) && frame[i] == '}' {
		i++
	} else {
		for more := true; more; {
			key := skipSpace(frame, i)
			afterKey, err := skipKey(frame, key)
			if err != nil {
				return afterKey, err
			}
			start := skipSpace(frame, afterKey)
			end, err := skipValue(frame, start, 1)
			if err != nil {
				return end, err
			}
			value := frame[start:end:end]
			name, err := keyText(frame[key:afterKey])
			if err != nil {
				return key, err
			}
			switch string(name) {
			case "topic":
				topic = value
			case "event":
				event = value
			case "payload":
				payload = value
			case "ref":
				msgRef = value
			case "join_ref":
				joinRef = value
			}
			i, more, err = skipSeparator(frame, end, '}')
			if err != nil {
				return i, err
			}
		}
	}
	if i = skipSpace(frame, i); i < len(frame) {
		return i, ErrSyntax
	}
	for _, required := range []struct {
		key   string
		value []byte
	}{{"topic", topic}, {"event", event}, {"payload", payload}, {"ref", msgRef}} {
		if required.value == nil {
			return i, fmt.Errorf("%w: version 1 takes an object with topic, event, payload and ref; %s is missing", ErrShape, required.key)
		}
	}
	e.JoinRef, e.Ref = ref(joinRef), ref(msgRef)
	e.Payload.Data = payload
	return i, e.setTopicEvent(topic, event)
}

// skipSeparator passes the comma after an element, or the end of the container.
func skipSeparator(frame []byte, i int, end byte) (after int, more bool, err error) {
	i = skipSpace(frame, i)
	switch {
	case i == len(frame):
		return i, false, ErrSyntax
	case frame[i] == ',':
		return i + 1, true, nil
	case frame[i] == end:
		return i + 1, false, nil
	}
	return i, false, ErrSyntax
}

// keyText is the text of a key that skipKey has passed, colon included.
func keyText(key []byte) ([]byte, error) {
	closing := bytes.LastIndexByte(key, '"')
	return unquote(key[:closing+1])
}

// ref gives nil for null.
func ref(value []byte) []byte {
	if string(value) == "null" {
		return nil
	}
	return value
}

func (e *Envelope) setTopicEvent(topic, event []byte) (err error) {
	if e.Topic, e.TopicOdd, err = text(topic); err != nil {
		return err
	}
	e.Event, e.EventOdd, err = text(event)
	return err
}

// text gives the characters of a JSON string. Any other value is odd, and
// returned as it is.
func text(value []byte) (t []byte, odd bool, err error) {
	if value[0] != '"' {
		return value, true, nil
	}
	t, err = unquote(value)
	return t, false, err
}

// The kinds of binary frames, their first byte.
const (
	kindPush      = 0
	kindReply     = 1
	kindBroadcast = 2
)

func decodeV2Binary(frame []byte, e *Envelope) (int, error) {
	const header = 5
	switch {
	case len(frame) == 0:
		return 0, fmt.Errorf("%w: empty binary frame", ErrShape)
	case frame[0] != kindPush:
		return 0, fmt.Errorf("%w: binary frame of kind %d, clients send kind %d", ErrShape, frame[0], kindPush)
	case len(frame) < header:
		return len(frame), fmt.Errorf("%w: binary frame of %d bytes, its header takes %d", ErrShape, len(frame), header)
	}
	var fields [4][]byte
	i := header
	for n := range fields {
		end := i + int(frame[1+n])
		if end > len(frame) {
			return i, fmt.Errorf("%w: binary frame of %d bytes ends before its strings", ErrShape, len(frame))
		}
		fields[n] = frame[i:end:end]
		// Replies and broadcasts repeat them in JSON.
		if !utf8.Valid(fields[n]) {
			return i, ErrUTF8
		}
		i = end
	}
	refs := make([]byte, 0, len(fields[0])+len(fields[1])+4)
	refs = appendQuoted(refs, fields[0])
	joinRef := len(refs)
	refs = appendQuoted(refs, fields[1])
	e.JoinRef, e.Ref = refs[:joinRef:joinRef], refs[joinRef:]
	e.Topic, e.Event = fields[2], fields[3]
	e.Payload = Payload{Data: frame[i:], Binary: true}
	return i, nil
}
