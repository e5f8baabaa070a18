package trunkline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/trunkline/trunkline/internal/realtime"
)

// Payload is what a client sent, or what a broadcast carries: a JSON value, or
// bytes when the client pushed an ArrayBuffer.
type Payload struct{ p realtime.Payload }

// Binary is a payload of raw bytes, for Push, Broadcast and replies. Clients of
// serializer version 1.0.0 cannot receive it.
type Binary []byte

// ErrBinaryPayload is returned where JSON is asked of a binary payload.
var ErrBinaryPayload = errors.New("the payload is binary, not JSON")

// Decode stores the JSON payload in v, as json.Unmarshal does.
func (p Payload) Decode(v any) error {
	if p.p.Binary {
		return ErrBinaryPayload
	}
	if err := json.Unmarshal(p.p.Data, v); err != nil {
		return fmt.Errorf("payload: %w", err)
	}
	return nil
}

// Binary returns the bytes of a binary payload; ok is false for JSON. They may
// not be changed.
func (p Payload) Binary() (data Binary, ok bool) { return p.p.Data, p.p.Binary }

// MarshalJSON makes a Payload usable inside a reply or a broadcast: the JSON
// goes out as it came in. A binary payload is ErrBinaryPayload.
func (p Payload) MarshalJSON() ([]byte, error) {
	switch {
	case p.p.Binary:
		return nil, ErrBinaryPayload
	case len(p.p.Data) == 0:
		return []byte("{}"), nil
	}
	return p.p.Data, nil
}

// encode makes a payload of any value: nil is {}, Binary and Payload go as they
// are, everything else as encoding/json encodes it.
func encode(v any) (realtime.Payload, error) {
	switch v := v.(type) {
	case nil:
		return realtime.EmptyObject, nil
	case Binary:
		return realtime.Payload{Data: v, Binary: true}, nil
	case Payload:
		if !v.p.Binary && len(v.p.Data) == 0 {
			return realtime.EmptyObject, nil
		}
		return v.p, nil
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return realtime.Payload{}, &realtime.UnencodableError{Err: err}
	}
	return realtime.Payload{Data: bytes.TrimSuffix(buf.Bytes(), []byte("\n"))}, nil
}
