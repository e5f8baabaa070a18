package webhook

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/riverqueue/river"
)

// Queue is where deliveries wait.
const Queue = "webhooks"

// The same as in the SQL function webhook.
const (
	kind            = "trunkline_webhook"
	maxAttempts     = 10
	MaxTypeBytes    = 255
	MaxPayloadBytes = 1 << 20
)

// Args of a delivery's job. The SQL function webhook inserts the same.
type Args struct {
	ID        string          `json:"id"` // of the event, at all attempts
	Endpoint  string          `json:"endpoint"`
	Type      string          `json:"type"`
	CreatedAt time.Time       `json:"created_at"`
	Payload   json.RawMessage `json:"payload"`

	// notBefore is when the receiver wants the next attempt; River hands the job
	// of an attempt to NextRetry.
	notBefore time.Time
}

// Kind of the job.
func (Args) Kind() string { return kind }

// InsertOpts of the job.
func (Args) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: Queue, MaxAttempts: maxAttempts}
}

// newArgs checks what is to be sent.
func newArgs(endpoint, eventType string, payload json.RawMessage) (Args, error) {
	switch {
	case eventType == "":
		return Args{}, errors.New("the event's type is empty")
	case len(eventType) > MaxTypeBytes:
		return Args{}, fmt.Errorf("the event's type is %d bytes: want at most %d", len(eventType), MaxTypeBytes)
	case len(payload) > MaxPayloadBytes:
		return Args{}, fmt.Errorf("the payload is %d bytes: want at most %d", len(payload), MaxPayloadBytes)
	}
	return Args{
		ID: "msg_" + rand.Text(), Endpoint: endpoint, Type: eventType,
		CreatedAt: time.Now().UTC().Truncate(time.Microsecond), Payload: payload,
	}, nil
}
