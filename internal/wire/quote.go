package wire

import (
	"bytes"
	"encoding/json"
)

// appendQuoted appends s, which is valid UTF-8, as a JSON string.
func appendQuoted[T string | []byte](buf []byte, s T) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' {
			return appendEscaped(buf, string(s))
		}
	}
	buf = append(buf, '"')
	buf = append(buf, s...)
	return append(buf, '"')
}

func appendEscaped(buf []byte, s string) []byte {
	quoted, _ := json.Marshal(s) // every string has JSON
	return append(buf, quoted...)
}

// unquote gives the characters of a JSON string. It points into value where
// that has no escapes.
func unquote(value []byte) ([]byte, error) {
	last := len(value) - 1
	if last < 1 || value[0] != '"' || value[last] != '"' {
		return nil, ErrSyntax
	}
	if inner := value[1:last:last]; bytes.IndexByte(inner, '\\') < 0 {
		return inner, nil
	}
	var s string
	if err := json.Unmarshal(value, &s); err != nil {
		return nil, ErrSyntax
	}
	return []byte(s), nil
}
