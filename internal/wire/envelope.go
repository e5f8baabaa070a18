package wire

// Payload is a message's payload: JSON text, or raw bytes in a binary frame.
// The zero Payload is sent as the empty map {}.
type Payload struct {
	Data   []byte
	Binary bool
}

// Envelope is one decoded client frame. Its slices point into the frame, and
// are valid as long as the frame is unchanged; see Clone.
type Envelope struct {
	// JoinRef and Ref are raw JSON, nil for null and for a join_ref that a
	// version 1 client left out. A binary frame gives JSON strings: an empty
	// ref is `""`, not nil.
	JoinRef, Ref []byte

	// Topic and Event are unescaped UTF-8. For a value that is no JSON string
	// they are its raw JSON, and TopicOdd or EventOdd is set.
	Topic, Event       []byte
	TopicOdd, EventOdd bool

	// Payload is any JSON value as it came, or bytes.
	Payload Payload
}

// Clone copies e and all it points to, so that the frame can be reused. The
// bytes share one allocation.
func (e *Envelope) Clone() Envelope {
	c := *e
	buf := make([]byte, 0, len(e.JoinRef)+len(e.Ref)+len(e.Topic)+len(e.Event)+len(e.Payload.Data))
	for _, field := range []*[]byte{&c.JoinRef, &c.Ref, &c.Topic, &c.Event, &c.Payload.Data} {
		if *field == nil {
			continue
		}
		start := len(buf)
		buf = append(buf, *field...)
		// The capacity ends with the field: an append must not reach the next.
		*field = buf[start:len(buf):len(buf)]
	}
	return c
}
