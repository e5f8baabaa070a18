package history

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
)

// Events of edits. They are messages of the topic's stream with ids of their
// own, and refer to another one. Nobody can publish them as such.
const (
	EventUpdated = "message_updated"
	EventDeleted = "message_deleted"
)

// A Message is a stored message of a topic. It is never changed once made;
// goroutines may share it.
type Message struct {
	ID         int64 // from 1, without gaps
	Event      string
	RefersTo   int64 // of an edit: the id of the message it changes; else 0
	Deleted    bool
	InsertedAt time.Time // when it was numbered; by the clock of Postgres

	// Payload is the JSON object that live subscribers get: the published one
	// with the id under the pattern's key. Of an edit it is {"id", "message_id",
	// "payload"}, without "payload" where a message was deleted. Nil when
	// Deleted.
	Payload []byte

	// Shared is what Config.Prepare made of the message when it came into
	// memory, such as its encoded frames.
	Shared any
}

// A Page is a run of messages of a topic, ascending, and the topic's state in
// the snapshot in which they were read.
type Page struct {
	Messages []*Message
	More     bool   // there are further messages in the direction of reading
	Head     int64  // the newest id, 0 when nothing was ever published
	Oldest   int64  // the oldest id that can still be read; Head+1 when none can
	Epoch    string // changes when the database may have lost what clients saw
}

// row is a message as stored: its payload as published, or for an edit the new
// payload of the message it refers to.
type row struct {
	id         int64
	event      string
	payload    []byte
	refersTo   int64
	deleted    bool
	insertedAt time.Time
}

// message returns the row as subscribers get it.
func (r row) message(idKey string) *Message {
	m := &Message{ID: r.id, Event: r.event, RefersTo: r.refersTo, Deleted: r.deleted, InsertedAt: r.insertedAt}
	switch {
	case r.deleted:
	case r.refersTo == 0:
		m.Payload = withID(idKey, r.id, r.payload)
	default:
		m.Payload = editPayload(idKey, r.id, r.event, r.refersTo, r.payload)
	}
	return m
}

// withID returns a JSON object with the id put first.
func withID(idKey string, id int64, object []byte) []byte {
	out := appendID(make([]byte, 0, len(object)+len(idKey)+24), idKey, id)
	rest := bytes.TrimLeft(object, " \t\r\n")[1:] // after the brace
	if rest = bytes.TrimLeft(rest, " \t\r\n"); rest[0] != '}' {
		out = append(out, ',')
	}
	return append(out, rest...)
}

func editPayload(idKey string, id int64, event string, refersTo int64, payload []byte) []byte {
	out := appendID(make([]byte, 0, len(payload)+len(idKey)+64), idKey, id)
	out = append(out, `,"message_id":`...)
	out = strconv.AppendInt(out, refersTo, 10)
	if event == EventUpdated {
		out = append(out, `,"payload":`...)
		out = append(out, payload...)
	}
	return append(out, '}')
}

// appendID opens an object whose first member is the id.
func appendID(out []byte, idKey string, id int64) []byte {
	key, _ := json.Marshal(idKey) // a string always can be
	out = append(out, '{')
	out = append(out, key...)
	out = append(out, ':')
	return strconv.AppendInt(out, id, 10)
}
