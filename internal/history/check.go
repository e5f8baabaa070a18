package history

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/trunkline/trunkline/internal/wire"
)

// The limits of the SQL functions.
const (
	maxTopic   = 512
	maxEvent   = 255
	maxKey     = 255
	maxUser    = 255
	maxPayload = 1 << 20
)

// checkPublish tells whether a message may be published, as the SQL function
// publish does. An empty key is none.
func checkPublish(idKey, topic, event string, payload []byte, key string) error {
	if err := checkText(ErrTopic, topic, 1, maxTopic); err != nil {
		return err
	}
	if err := checkText(ErrEvent, event, 1, maxEvent); err != nil {
		return err
	}
	if strings.HasPrefix(event, "phx_") || event == EventUpdated || event == EventDeleted {
		return fmt.Errorf("%w: %q is reserved", ErrEvent, event)
	}
	if err := checkText(ErrKey, key, 0, maxKey); err != nil {
		return err
	}
	return checkPayload(idKey, payload)
}

// checkPayload tells whether a payload may be stored.
func checkPayload(idKey string, payload []byte) error {
	switch {
	case len(payload) > maxPayload:
		return fmt.Errorf("%w: %d bytes; at most %d are allowed", ErrPayload, len(payload), maxPayload)
	}
	if err := wire.CheckObject(payload); err != nil {
		return fmt.Errorf("%w: not a JSON object: %w", ErrPayload, err)
	}
	// Most payloads do not hold the key anywhere, in no spelling.
	if !quotes(payload, idKey) && bytes.IndexByte(payload, '\\') < 0 {
		return nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(payload, &members); err != nil {
		return fmt.Errorf("%w: %w", ErrPayload, err)
	}
	if _, has := members[idKey]; has {
		return fmt.Errorf("%w: %q", ErrReservedKey, idKey)
	}
	return nil
}

// quotes tells whether the text stands between quotation marks somewhere.
func quotes(payload []byte, text string) bool {
	for {
		i := bytes.Index(payload, []byte(text))
		if i < 0 {
			return false
		}
		if end := i + len(text); i > 0 && payload[i-1] == '"' && end < len(payload) && payload[end] == '"' {
			return true
		}
		payload = payload[i+1:]
	}
}

// checkText tells whether Postgres can hold the text, and its length in bytes
// is least to most.
func checkText(kind error, text string, least, most int) error {
	switch {
	case len(text) < least || len(text) > most:
		return fmt.Errorf("%w: %d bytes; must be %d to %d", kind, len(text), least, most)
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return fmt.Errorf("%w: not valid UTF-8 without NUL", kind)
	}
	return nil
}
