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
	quoted, err := json.Marshal(s)
	if err != nil {
		panic("wire: a string has no JSON: " + err.Error()) // cannot happen
	}
	return append(buf, quoted...)
}

// unquote gives the characters of a JSON string that was checked before. It
// points into value where that has no escapes.
func unquote(value []byte) []byte {
	inner := value[1 : len(value)-1 : len(value)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return inner
	}
	var s string
	if err := json.Unmarshal(value, &s); err != nil {
		panic("wire: a checked JSON string is refused: " + err.Error()) // cannot happen
	}
	return []byte(s)
}
