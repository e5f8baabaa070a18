package main

import (
	"encoding/json"
	"fmt"
)

// A message is a text frame of version 2 of Phoenix's protocol, taken apart.
type message struct {
	joinRef, ref, topic, event string
	payload                    json.RawMessage
}

func decode(frame []byte) (message, error) {
	var m message
	var joinRef, ref *string
	if err := json.Unmarshal(frame, &[]any{&joinRef, &ref, &m.topic, &m.event, &m.payload}); err != nil {
		return m, fmt.Errorf("frame %.200q: %w", frame, err)
	}
	if joinRef != nil {
		m.joinRef = *joinRef
	}
	if ref != nil {
		m.ref = *ref
	}
	return m, nil
}

// encode makes a text frame. The channel's join reference is null where there is
// none.
func encode(joinRef, ref, topic, event string, payload any) ([]byte, error) {
	var joined any
	if joinRef != "" {
		joined = joinRef
	}
	return json.Marshal([]any{joined, ref, topic, event, payload})
}

// A reply is the payload of a phx_reply.
type reply struct {
	Status   string          `json:"status"`
	Response json.RawMessage `json:"response"`
}

type object map[string]any
