package presence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Presences is the list of a topic, or a part of it, by key. Its JSON is what
// Phoenix.Presence.list gives: {key: {"metas": [...]}}, and {} when nobody is
// there.
type Presences map[string]Listed

// Listed is what is told of one key.
type Listed struct {
	// Metas has one meta for each time that the key is tracked, with its
	// phx_ref.
	Metas []json.RawMessage
	// Fetched are the fields beside "metas" that Options.Fetch has added.
	Fetched map[string]json.RawMessage
}

// PresenceDiff is the payload of the event presence_diff: who has come, who has
// gone. An update is a join of the new meta and a leave of the old one.
type PresenceDiff struct {
	Joins  Presences `json:"joins"`
	Leaves Presences `json:"leaves"`
}

// collect lists sorted entries of one topic.
func collect(entries []*Entry) Presences {
	grouped := Group(entries)
	presences := make(Presences, len(grouped))
	for _, p := range grouped {
		presences[p.Key] = Listed{Metas: p.Metas}
	}
	return presences
}

// Apply brings the list from before the diff to after it, as syncDiff of
// phoenix.js does: a join replaces what was fetched and comes after the metas
// that stay, a meta that is known already is not doubled, and a key without
// metas is removed. It changes the map, not what the map's values hold.
func (p Presences) Apply(diff *PresenceDiff) {
	for key, joined := range diff.Joins {
		if was, ok := p[key]; ok {
			joined.Metas = append(minusRefs(was.Metas, joined.Metas), joined.Metas...)
		}
		p[key] = joined
	}
	for key, left := range diff.Leaves {
		was, ok := p[key]
		if !ok {
			continue
		}
		if was.Metas = minusRefs(was.Metas, left.Metas); len(was.Metas) == 0 {
			delete(p, key)
		} else {
			p[key] = was
		}
	}
}

// minusRefs returns a new slice of the metas whose refs are not among those of
// the others.
func minusRefs(metas, others []json.RawMessage) []json.RawMessage {
	refs := make(map[string]bool, len(others))
	for _, meta := range others {
		refs[refOf(meta)] = true
	}
	kept := make([]json.RawMessage, 0, len(metas)+len(others))
	for _, meta := range metas {
		if !refs[refOf(meta)] {
			kept = append(kept, meta)
		}
	}
	return kept
}

// AppendJSON appends the JSON of the list, sorted by key.
func (p Presences) AppendJSON(b []byte) []byte {
	b = append(b, '{')
	for i, key := range slices.Sorted(maps.Keys(p)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendJSONString(b, key), ':')
		b = p[key].AppendJSON(b)
	}
	return append(b, '}')
}

// entriesJSON is the JSON of the list that sorted entries of one topic make:
// that of collect's, without making it.
func entriesJSON(entries []*Entry) []byte {
	size := len("{}")
	for _, e := range entries {
		size += len(`"":{"metas":[]},`) + len(e.Key) + len(e.Meta)
	}
	b := append(make([]byte, 0, size), '{')
	for i, e := range entries {
		if i > 0 && entries[i-1].Key == e.Key {
			b = append(b, ',')
		} else {
			if i > 0 {
				b = append(b, "]},"...)
			}
			b = append(appendJSONString(b, e.Key), `:{"metas":[`...)
		}
		b = append(b, e.Meta...)
	}
	if len(entries) > 0 {
		b = append(b, "]}"...)
	}
	return append(b, '}')
}

// MarshalJSON gives the JSON of AppendJSON.
func (p Presences) MarshalJSON() ([]byte, error) { return p.AppendJSON(nil), nil }

// AppendJSON appends the JSON of one key: "metas", then what was fetched.
func (l Listed) AppendJSON(b []byte) []byte {
	b = append(b, `{"metas":[`...)
	for i, meta := range l.Metas {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, meta...)
	}
	b = append(b, ']')
	if len(l.Fetched) == 0 {
		return append(b, '}')
	}
	for _, name := range slices.Sorted(maps.Keys(l.Fetched)) {
		if name != "metas" {
			b = append(appendJSONString(append(b, ','), name), ':')
			b = append(b, l.Fetched[name]...)
		}
	}
	return append(b, '}')
}

// MarshalJSON gives the JSON of AppendJSON.
func (l Listed) MarshalJSON() ([]byte, error) { return l.AppendJSON(nil), nil }

// UnmarshalJSON reads what MarshalJSON gave, so that a list can be kept from
// the diffs that a topic's subscriber receives.
func (l *Listed) UnmarshalJSON(b []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		return err
	}
	var metas []json.RawMessage
	if err := json.Unmarshal(fields["metas"], &metas); err != nil {
		return fmt.Errorf("presence without a list of metas: %w", err)
	}
	delete(fields, "metas")
	*l = Listed{Metas: metas}
	if len(fields) > 0 {
		l.Fetched = fields
	}
	return nil
}

// AppendJSON appends the JSON of the diff; both parts are always there.
func (d *PresenceDiff) AppendJSON(b []byte) []byte {
	b = d.Joins.AppendJSON(append(b, `{"joins":`...))
	b = d.Leaves.AppendJSON(append(b, `,"leaves":`...))
	return append(b, '}')
}

// MarshalJSON gives the JSON of AppendJSON.
func (d *PresenceDiff) MarshalJSON() ([]byte, error) { return d.AppendJSON(nil), nil }

// appendJSONString appends a string, which must be UTF-8, without the escapes
// that only HTML needs.
func appendJSONString(b []byte, s string) []byte {
	if plain(s) {
		return append(append(append(b, '"'), s...), '"')
	}
	quoted, err := encodeJSON(s)
	if err != nil { // a string cannot fail
		return append(b, `""`...)
	}
	return append(b, quoted...)
}

// plain says whether nothing in the string needs an escape, as in most keys.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func encodeJSON(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// fetchedFields checks what Options.Fetch returned, which goes to clients as it
// is.
func fetchedFields(fetched map[string]map[string]json.RawMessage) error {
	for _, fields := range fetched {
		for name, value := range fields {
			if !json.Valid(value) {
				return fmt.Errorf("field %q: %w", name, errNotJSON)
			}
		}
	}
	return nil
}

var errNotJSON = errors.New("not a JSON value")
