package golden

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

var errDuplicateKey = errors.New("duplicate key")

// parseRecorded decodes recorded JSON. Phoenix doubles a key when a presence
// meta brings its own phx_ref; the first, generated one counts.
func parseRecorded(data []byte) (any, error) { return parseJSON(data, true) }

// parseReceived decodes JSON from the server under test, where a key must not
// stand twice in an object.
func parseReceived(data []byte) (any, error) { return parseJSON(data, false) }

func parseJSON(data []byte, keepFirst bool) (any, error) {
	if !json.Valid(data) {
		return nil, fmt.Errorf("not JSON: %s", excerpt(data))
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	return parseValue(decoder, keepFirst)
}

func parseValue(decoder *json.Decoder, keepFirst bool) (any, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, fmt.Errorf("read JSON: %w", err)
	}
	switch token {
	case json.Delim('['):
		array := []any{}
		for decoder.More() {
			element, err := parseValue(decoder, keepFirst)
			if err != nil {
				return nil, err
			}
			array = append(array, element)
		}
		_, err = decoder.Token()
		return array, err
	case json.Delim('{'):
		object := map[string]any{}
		for decoder.More() {
			key, err := decoder.Token()
			if err != nil {
				return nil, fmt.Errorf("read JSON: %w", err)
			}
			element, err := parseValue(decoder, keepFirst)
			if err != nil {
				return nil, err
			}
			name := key.(string) // the decoder gives nothing else here
			if _, seen := object[name]; !seen {
				object[name] = element
			} else if !keepFirst {
				return nil, fmt.Errorf("%w %q", errDuplicateKey, name)
			}
		}
		_, err = decoder.Token()
		return object, err
	}
	return token, nil
}

// matchJSON compares decoded JSON; b resolves and binds placeholders. The
// error says where in the document the two differ.
func matchJSON(want, got any, b *bindings) error { return matchAt("", want, got, b) }

func matchAt(at string, want, got any, b *bindings) error {
	differ := func() error {
		return fmt.Errorf("at %q: expected %s, got %s", at, show(want), show(got))
	}
	switch want := want.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok {
			return differ()
		}
		for _, key := range slices.Sorted(maps.Keys(want)) {
			element, ok := object[key]
			if !ok {
				return fmt.Errorf("at %q: field %q is missing", at, key)
			}
			if err := matchAt(at+"."+key, want[key], element, b); err != nil {
				return err
			}
		}
		for _, key := range slices.Sorted(maps.Keys(object)) {
			if _, ok := want[key]; !ok {
				return fmt.Errorf("at %q: unexpected field %q", at, key)
			}
		}
		return nil
	case []any:
		array, ok := got.([]any)
		if !ok || len(array) != len(want) {
			return differ()
		}
		for i := range want {
			if err := matchAt(fmt.Sprintf("%s[%d]", at, i), want[i], array[i], b); err != nil {
				return err
			}
		}
		return nil
	case string:
		text, ok := got.(string)
		if !ok {
			return differ()
		}
		if err := b.match(want, text); err != nil {
			return fmt.Errorf("at %q: %w", at, err)
		}
		return nil
	case json.Number:
		number, ok := got.(json.Number)
		if !ok || !sameNumber(want, number) {
			return differ()
		}
		return nil
	}
	if want != got { // null, true, false
		return differ()
	}
	return nil
}

func sameNumber(a, b json.Number) bool {
	if a == b {
		return true
	}
	x, errX := strconv.ParseFloat(a.String(), 64)
	y, errY := strconv.ParseFloat(b.String(), 64)
	return errX == nil && errY == nil && x == y
}

func show(value any) string {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return excerpt(data)
}

const excerptLimit = 400 // bytes

func excerpt(data []byte) string {
	if len(data) <= excerptLimit {
		return string(data)
	}
	return fmt.Sprintf("%s... (%d bytes)", data[:excerptLimit], len(data))
}
