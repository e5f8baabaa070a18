package verify

// Run is all that was recorded of one run.
type Run struct {
	// Publishes of one publisher stand in the order in which it made them.
	Publishes []Publish
	Topics    []Topic // all that the database has
	Rows      []Row   // all that the database has, in any order
	Streams   []Stream
}

// Outcome is what a publisher knows in the end about a message.
type Outcome int

const (
	// Committed was acknowledged: by a reply with an id, or by COMMIT.
	Committed Outcome = iota
	// RolledBack was published by a transaction that was rolled back.
	RolledBack
	// Refused was answered with errors only.
	Refused
	// Unknown may have been published, once: the answer was lost.
	Unknown
	// Unanswered is Unknown although the publisher went on asking when nothing
	// was broken any more.
	Unanswered
)

// Publish is one message of a publisher, however often it was tried.
type Publish struct {
	Publisher string
	Topic     string
	Event     string
	Key       string // the first word of the text
	Text      Sum    // of the whole text
	Outcome   Outcome
	ID        int64  // what the reply said; 0 where there is none, as in SQL
	Reason    string // what the last error said, of those that were refused
}

// Topic is a topic's counter.
type Topic struct {
	Name string
	Head int64
}

// Row is a stored message.
type Row struct {
	Topic   string
	ID      int64
	Event   string
	Key     string
	Text    Sum
	Payload Sum // of the whole payload, without the id
}

// Stream is what one subscriber received of one topic, from the topic's
// beginning, over all its connections.
type Stream struct {
	Subscriber string
	Topic      string
	Deliveries []Delivery // in the order of arrival
	// Complaints are answers that the contract rules out here, such as a reset.
	Complaints []string
}

// Delivery is one message that an application was handed.
type Delivery struct {
	ID      int64 // 0 when the payload had none
	Event   string
	Key     string
	Payload Sum
}
