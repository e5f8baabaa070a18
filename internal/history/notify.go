package history

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
)

// News is what a bus message says of one topic. Its form is text, since the
// bus carries text as it is:
//
//	news      = topic-id "," inserted-at ";" 1*entry
//	entry     = message / reference
//	message   = id "," refers-to "," event-length "," payload-length ":" event payload
//	reference = id ":"
//
// Numbers are in base 36, lengths count bytes, inserted-at counts microseconds
// since 1970. A reference stands for a message that is too large; who needs it
// fetches it.
type news struct {
	topicID int64
	rows    []row // of a reference only the id; event and payload are empty
}

const (
	// maxNews bounds a bus message, so that it fits in one notification along
	// with a topic of maxTopic bytes.
	maxNews = 6 << 10
	// maxNewsHead is more than the numbers of an entry take.
	maxNewsHead = 64
)

var errMalformed = errors.New("malformed news")

// isReference reports whether only the row's id is known.
func (r row) isReference() bool { return r.event == "" }

// encodeNews packs rows of one topic into as few bodies as possible.
func encodeNews(topicID int64, rows []row) [][]byte {
	var bodies [][]byte
	var body []byte
	var at time.Time
	for _, r := range rows {
		size := maxNewsHead + len(r.event) + len(r.payload)
		if size > maxNews-maxNewsHead {
			r, size = row{id: r.id, insertedAt: r.insertedAt}, maxNewsHead
		}
		if body != nil && (len(body)+size > maxNews || !at.Equal(r.insertedAt)) {
			bodies, body = append(bodies, body), nil
		}
		if body == nil {
			at = r.insertedAt
			body = make([]byte, 0, min(maxNews, 2*maxNewsHead+size*len(rows)))
			body = appendNumber(body, topicID, ',')
			body = appendNumber(body, at.UnixMicro(), ';')
		}
		body = appendEntry(body, r)
	}
	if body != nil {
		bodies = append(bodies, body)
	}
	return bodies
}

func appendEntry(body []byte, r row) []byte {
	if r.isReference() {
		return appendNumber(body, r.id, ':')
	}
	body = appendNumber(body, r.id, ',')
	body = appendNumber(body, r.refersTo, ',')
	body = appendNumber(body, int64(len(r.event)), ',')
	body = appendNumber(body, int64(len(r.payload)), ':')
	body = append(body, r.event...)
	return append(body, r.payload...)
}

func appendNumber(body []byte, n int64, end byte) []byte {
	return append(strconv.AppendInt(body, n, 36), end)
}

// decodeNews reads a body. The rows' payloads are parts of it.
func decodeNews(body []byte) (news, error) {
	topicID, rest, err := cutNumber(body, ',')
	if err != nil {
		return news{}, err
	}
	micros, rest, err := cutNumber(rest, ';')
	if err != nil {
		return news{}, err
	}
	n := news{topicID: topicID}
	at := time.UnixMicro(micros)
	for len(rest) > 0 {
		var r row
		if r, rest, err = decodeEntry(rest); err != nil {
			return news{}, err
		}
		r.insertedAt = at
		n.rows = append(n.rows, r)
	}
	if topicID == 0 || n.rows == nil {
		return news{}, fmt.Errorf("%w: topic %d, %d entries", errMalformed, topicID, len(n.rows))
	}
	return n, nil
}

func decodeEntry(body []byte) (r row, rest []byte, err error) {
	end := bytes.IndexAny(body, ",:")
	if end < 0 {
		return row{}, nil, fmt.Errorf("%w: entry", errMalformed)
	}
	if r.id, rest, err = cutNumber(body, body[end]); err != nil {
		return row{}, nil, err
	}
	if r.id == 0 || body[end] == ':' {
		return r, rest, nonZero(r.id)
	}
	var event, payload int64
	if r.refersTo, rest, err = cutNumber(rest, ','); err != nil {
		return row{}, nil, err
	}
	if event, rest, err = cutNumber(rest, ','); err != nil {
		return row{}, nil, err
	}
	if payload, rest, err = cutNumber(rest, ':'); err != nil {
		return row{}, nil, err
	}
	if left := int64(len(rest)); event < 1 || event > left || payload > left-event {
		return row{}, nil, fmt.Errorf("%w: entry of %d + %d bytes, %d are left", errMalformed, event, payload, left)
	}
	r.event = string(rest[:event])
	r.payload = rest[event : event+payload : event+payload]
	if trimmed := bytes.TrimSpace(r.payload); len(trimmed) < 2 || trimmed[0] != '{' || trimmed[len(trimmed)-1] != '}' {
		return row{}, nil, fmt.Errorf("%w: payload is not an object", errMalformed)
	}
	return r, rest[event+payload:], nil
}

func nonZero(id int64) error {
	if id == 0 {
		return fmt.Errorf("%w: id 0", errMalformed)
	}
	return nil
}

// cutNumber reads a number and the byte after it.
func cutNumber(body []byte, end byte) (int64, []byte, error) {
	digits, rest, found := bytes.Cut(body, []byte{end})
	if !found || len(digits) > 13 {
		return 0, nil, fmt.Errorf("%w: no number before %q", errMalformed, end)
	}
	n, err := strconv.ParseUint(string(digits), 36, 64)
	if err != nil || n > math.MaxInt64 {
		return 0, nil, fmt.Errorf("%w: number %q", errMalformed, digits)
	}
	return int64(n), rest, nil
}
