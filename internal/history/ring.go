package history

import (
	"slices"
	"sort"
	"time"
)

// A ring holds the newest messages of a topic: all that there are with ids
// above floor, up to head.
type ring struct {
	messages    []*Message // ascending
	floor, head int64
	bytes       int
	maxMessages int
	maxBytes    int
}

// messageBytes estimates what a message takes, with what is made of it.
func messageBytes(m *Message) int { return 256 + 3*len(m.Payload) }

// restart empties the ring at a head.
func (r *ring) restart(head int64) {
	clear(r.messages)
	r.messages, r.bytes = nil, 0
	r.floor, r.head = head, head
}

// push adds the next message.
func (r *ring) push(m *Message) {
	r.head = m.ID
	r.messages = append(r.messages, m)
	r.bytes += messageBytes(m)
	r.trim()
}

func (r *ring) trim() {
	n := 0
	for len(r.messages)-n > r.maxMessages || r.bytes > r.maxBytes {
		r.bytes -= messageBytes(r.messages[n])
		r.floor = r.messages[n].ID
		n++
	}
	clear(r.messages[:n]) // the array lives on
	r.messages = r.messages[n:]
}

// expire drops the messages from before a time.
func (r *ring) expire(before time.Time) {
	for len(r.messages) > 0 && r.messages[0].InsertedAt.Before(before) {
		r.bytes -= messageBytes(r.messages[0])
		r.floor = r.messages[0].ID
		r.messages[0] = nil
		r.messages = r.messages[1:]
	}
}

// prepend adds older messages: all that there are with ids above after, up to
// covered at least, as they were when the topic's head was at head. Those that
// do not fit are left out. It does nothing where they do not reach the ring, or
// where the ring has a newer edit of one of them.
func (r *ring) prepend(after, covered, head int64, messages []*Message) {
	if after >= r.floor || covered < r.floor {
		return
	}
	n, _ := slices.BinarySearchFunc(messages, r.floor+1, byID)
	messages = messages[:n]
	for _, edit := range r.messages[r.index(head+1):] {
		if edit.RefersTo > after && edit.RefersTo <= r.floor {
			return
		}
	}
	r.messages = slices.Concat(messages, r.messages)
	for _, m := range messages {
		r.bytes += messageBytes(m)
	}
	r.floor = after
	r.trim()
}

// page returns the messages above after, as many as the limits allow but at
// least one, and whether there are more; false where the ring does not reach
// back so far.
func (r *ring) page(after int64, limit, maxBytes int) (messages []*Message, more, ok bool) {
	if after < r.floor || after > r.head {
		return nil, false, false
	}
	rest := r.messages[r.index(after+1):]
	n := 0
	for bytes := 0; n < len(rest) && n < limit; n++ {
		bytes += len(rest[n].Payload)
		if bytes > maxBytes && n > 0 {
			break
		}
	}
	return slices.Clone(rest[:n]), n < len(rest), true
}

// newest returns the n newest messages that fit in maxBytes, at least one,
// and whether all of them are here.
func (r *ring) newest(n, maxBytes int, oldest int64) (messages []*Message, ok bool) {
	i := len(r.messages)
	for bytes := 0; i > 0 && len(r.messages)-i < n && r.messages[i-1].ID >= oldest; i-- {
		bytes += len(r.messages[i-1].Payload)
		if bytes > maxBytes && i < len(r.messages) {
			return slices.Clone(r.messages[i:]), true
		}
	}
	found := slices.Clone(r.messages[i:])
	return found, len(found) == n || r.floor < oldest
}

// index returns where the first message with this id or a higher one is.
func (r *ring) index(id int64) int {
	return sort.Search(len(r.messages), func(i int) bool { return r.messages[i].ID >= id })
}

// find returns the place of a message, or -1.
func (r *ring) find(id int64) int {
	if i := r.index(id); i < len(r.messages) && r.messages[i].ID == id {
		return i
	}
	return -1
}

// edit brings the messages up to date with an edit event, as the tables were:
// the message it refers to and, of a deletion, the earlier edits of it. remake
// makes a message of the new state of another one.
func (r *ring) edit(event row, remake func(m *Message, payload []byte, deleted bool) *Message) {
	replace := func(i int, payload []byte, deleted bool) {
		r.bytes -= messageBytes(r.messages[i])
		r.messages[i] = remake(r.messages[i], payload, deleted)
		r.bytes += messageBytes(r.messages[i])
	}
	if i := r.find(event.refersTo); i >= 0 {
		if event.event == EventDeleted {
			replace(i, nil, true)
		} else {
			replace(i, event.payload, false)
		}
	}
	if event.event != EventDeleted {
		return
	}
	for i := r.index(event.refersTo + 1); i < len(r.messages) && r.messages[i].ID < event.id; i++ {
		if m := r.messages[i]; m.RefersTo == event.refersTo && m.Event == EventUpdated {
			replace(i, nil, true)
		}
	}
}

// remade returns the row of a message with another payload, as it is stored.
func (m *Message) remade(payload []byte, deleted bool) row {
	return row{
		id: m.ID, event: m.Event, payload: payload, refersTo: m.RefersTo,
		deleted: deleted, insertedAt: m.InsertedAt,
	}
}

func byID(m *Message, id int64) int {
	switch {
	case m.ID < id:
		return -1
	case m.ID > id:
		return 1
	}
	return 0
}
