package presence

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// Limits of what is tracked. A topic's and a key's are in bytes; a meta's is
// that of its JSON with the refs.
const (
	MaxTopic = 1024
	MaxKey   = 1024
	MaxMeta  = 64 << 10
)

// ErrInvalid is a topic, key or meta that cannot be tracked. The error says
// which and why.
var ErrInvalid = errors.New("invalid presence")

func checkName(what, name string, limit int) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: the %s is empty", ErrInvalid, what)
	case len(name) > limit:
		return fmt.Errorf("%w: the %s has %d bytes, the limit is %d", ErrInvalid, what, len(name), limit)
	case !utf8.ValidString(name):
		return fmt.Errorf("%w: the %s %q is not UTF-8", ErrInvalid, what, name)
	}
	return nil
}

// withRefs returns the meta, an object, with the refs that are ours whatever it
// had under their names. Without prev a phx_ref_prev of its own stays, as in
// Phoenix.
func withRefs(meta json.RawMessage, ref, prev string) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(meta, &fields); err != nil || fields == nil {
		return nil, fmt.Errorf("%w: the meta is not a JSON object", ErrInvalid)
	}
	if !utf8.Valid(meta) {
		return nil, fmt.Errorf("%w: the meta is not UTF-8", ErrInvalid)
	}
	fields["phx_ref"] = json.RawMessage(strconv.Quote(ref))
	if prev != "" {
		fields["phx_ref_prev"] = json.RawMessage(strconv.Quote(prev))
	}
	made, err := encodeJSON(fields)
	if err != nil {
		return nil, fmt.Errorf("%w: the meta: %w", ErrInvalid, err)
	}
	if len(made) > MaxMeta {
		return nil, fmt.Errorf("%w: the meta has %d bytes, the limit is %d", ErrInvalid, len(made), MaxMeta)
	}
	return made, nil
}

// refOf returns the phx_ref of a meta, or "".
func refOf(meta json.RawMessage) string {
	var fields struct {
		Ref string `json:"phx_ref"`
	}
	if json.Unmarshal(meta, &fields) != nil {
		return ""
	}
	return fields.Ref
}

// refMaker makes the values of phx_ref.
type refMaker struct {
	node    string
	counter atomic.Uint32
}

// next returns a ref as Phoenix.Presence makes them: base64url of the time in
// nanoseconds (8 bytes), a hash of node and owner (2) and a counter (2).
func (r *refMaker) next(owner Owner) string {
	h := fnv.New32a()
	_, _ = h.Write(binary.BigEndian.AppendUint64([]byte(r.node), uint64(owner)))
	sum := h.Sum32()
	b := binary.BigEndian.AppendUint64(nil, uint64(time.Now().UnixNano()))
	b = binary.BigEndian.AppendUint16(b, uint16(sum>>16)^uint16(sum))
	b = binary.BigEndian.AppendUint16(b, uint16(r.counter.Add(1)))
	return base64.RawURLEncoding.EncodeToString(b)
}
