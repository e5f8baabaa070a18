package verify

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Sum stands for a text or a payload. Two are equal if and only if these are,
// for all that a run can meet.
type Sum [16]byte

// SumOf sums a text.
func SumOf(text string) Sum {
	full := sha256.Sum256([]byte(text))
	return Sum(full[:len(Sum{})])
}

// Payload is a message's payload taken apart.
type Payload struct {
	ID  int64 // 0 without one
	Key string
	// Text is the sum of the text, Whole that of the payload without the id.
	// Whole does not depend on the order of keys, nor on blanks.
	Text, Whole Sum
}

// ParsePayload takes apart the JSON object that a message carries. Its text is
// the value of "body".
func ParsePayload(data []byte) (Payload, error) {
	var p Payload
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber() // large numbers stay what they are
	var fields map[string]any
	if err := decoder.Decode(&fields); err != nil {
		return p, fmt.Errorf("payload %.80q: %w", data, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return p, fmt.Errorf("payload %.80q: more than one value", data)
	}
	if id, ok := fields["id"]; ok {
		number, ok := id.(json.Number)
		if !ok {
			return p, fmt.Errorf("payload %.80q: the id is no number", data)
		}
		var err error
		if p.ID, err = number.Int64(); err != nil {
			return p, fmt.Errorf("payload %.80q: id: %w", data, err)
		}
		delete(fields, "id")
	}
	text, ok := fields["body"].(string)
	if !ok {
		return p, fmt.Errorf("payload %.80q: no text in body", data)
	}
	p.Key, _, _ = strings.Cut(text, " ")
	p.Text = SumOf(text)
	canonical, err := json.Marshal(fields) // sorts the keys
	if err != nil {
		return p, fmt.Errorf("payload %.80q: %w", data, err)
	}
	p.Whole = SumOf(string(canonical))
	return p, nil
}
