package trunkline_test

import (
	"encoding/json"
	"testing"

	"github.com/trunkline/trunkline"
)

// JSON that is encoded already is stored as it is, and belongs to its caller
// again afterwards; what is no object is refused.
func TestPublishRawJSON(t *testing.T) {
	t.Parallel()
	srv, _, _ := durableServer(t, trunkline.HistoryOptions{})
	raw := json.RawMessage(`{"body": "one"}`)
	id, err := srv.Publish(t.Context(), "room:1", "m", raw)
	if err != nil {
		t.Fatal(err)
	}
	copy(raw, `{"body": "two"}`)
	messages, _, err := srv.Messages(t.Context(), "room:1", 0, 10)
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d messages, %v; want 1", len(messages), err)
	}
	var got struct {
		ID   int64
		Body string
	}
	if err := messages[0].Payload.Decode(&got); err != nil || got.ID != id || got.Body != "one" {
		t.Errorf("stored %+v, %v; want %d, one", got, err, id)
	}
	for _, bad := range []string{"", "null", `"text"`, "[1]", `{"body": }`, `{"id": 1}`, "{} {}"} {
		if id, err := srv.Publish(t.Context(), "room:1", "m", json.RawMessage(bad)); err == nil {
			t.Errorf("%s was published with id %d", bad, id)
		}
	}
}
