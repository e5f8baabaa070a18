package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// A frame is one WebSocket message from the server.
type frame struct {
	data   []byte
	binary bool
	at     time.Time
}

func (f frame) String() string {
	if f.binary {
		return fmt.Sprintf("binary %.80x", f.data)
	}
	return fmt.Sprintf("text %.200s", f.data)
}

// A message is a text frame of version 2 taken apart.
type message struct {
	ref, topic, event string
	payload           json.RawMessage
}

func (f frame) decode() (message, error) {
	var m message
	var joinRef, ref *string
	if f.binary {
		return m, errors.New("a binary frame: " + f.String())
	}
	if err := json.Unmarshal(f.data, &[]any{&joinRef, &ref, &m.topic, &m.event, &m.payload}); err != nil {
		return m, fmt.Errorf("%s: %w", f, err)
	}
	if ref != nil {
		m.ref = *ref
	}
	return m, nil
}

// isPresence is whether it tells who is in one of the demo's rooms. That has
// tests of its own; here it would come between what is looked at.
func (f frame) isPresence() bool {
	m, err := f.decode()
	return err == nil && (m.event == "presence_state" || m.event == "presence_diff")
}

// A reply is the payload of a phx_reply.
type reply struct {
	Status   string
	Response json.RawMessage
}

// encode makes a text frame of version 2. An empty reference is null.
func encode(joinRef, ref, topic, event string, payload any) ([]byte, error) {
	return json.Marshal([]any{nullable(joinRef), nullable(ref), topic, event, payload})
}

func nullable(ref string) any {
	if ref == "" {
		return nil
	}
	return ref
}

// Kinds of binary frames of version 2.
const (
	binaryPush      = 0
	binaryBroadcast = 2
)

// encodeBinary makes a binary push.
func encodeBinary(joinRef, ref, topic, event string, data []byte) []byte {
	out := []byte{binaryPush, byte(len(joinRef)), byte(len(ref)), byte(len(topic)), byte(len(event))}
	out = append(out, joinRef+ref+topic+event...)
	return append(out, data...)
}

// decodeBroadcast takes a binary broadcast apart.
func decodeBroadcast(f frame) (topic, event string, data []byte, err error) {
	d := f.data
	if !f.binary || len(d) < 3 || d[0] != binaryBroadcast || len(d) < 3+int(d[1])+int(d[2]) {
		return "", "", nil, fmt.Errorf("not a binary broadcast: %s", f)
	}
	topic, d = string(d[3:3+int(d[1])]), d[3+int(d[1]):]
	n := int(f.data[2])
	return topic, string(d[:n]), d[n:], nil
}
