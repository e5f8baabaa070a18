package harness

import (
	"encoding/json"
	"fmt"
)

// A Message is a text frame of version 2 of Phoenix's protocol, taken apart.
type Message struct {
	JoinRef, Ref, Topic, Event string
	Payload                    json.RawMessage
}

// A Reply is the payload of a phx_reply.
type Reply struct {
	Status   string          `json:"status"`
	Response json.RawMessage `json:"response"`
}

// Into decodes the response.
func (r Reply) Into(v any) error { return json.Unmarshal(r.Response, v) }

// DecodeFrame takes a frame apart.
func DecodeFrame(frame []byte) (Message, error) {
	var m Message
	var joinRef, ref *string
	if err := json.Unmarshal(frame, &[]any{&joinRef, &ref, &m.Topic, &m.Event, &m.Payload}); err != nil {
		return m, fmt.Errorf("frame %.200q: %w", frame, err)
	}
	if joinRef != nil {
		m.JoinRef = *joinRef
	}
	if ref != nil {
		m.Ref = *ref
	}
	return m, nil
}

// EncodeFrame makes a frame. The channel's join reference is null where there
// is none.
func EncodeFrame(joinRef, ref, topic, event string, payload any) ([]byte, error) {
	var joined any
	if joinRef != "" {
		joined = joinRef
	}
	return json.Marshal([]any{joined, ref, topic, event, payload})
}
