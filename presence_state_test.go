package trunkline_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/trunkline/trunkline"
	"github.com/trunkline/trunkline/internal/pgtest"
)

// PresenceState is what Presences encodes to: with and without fetched fields,
// and at once after each change.
func TestPresenceState(t *testing.T) {
	t.Parallel()
	srv, err := trunkline.New(trunkline.Config{
		DatabaseURL:   pgtest.URL(t),
		SecretKeyBase: "a test's secret, twenty bytes at least",
		Logger:        slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Presence("named:*", trunkline.PresenceOptions{
		Fetch: func(_ context.Context, _ string, list trunkline.Presences) (map[string]map[string]json.RawMessage, error) {
			fetched := make(map[string]map[string]json.RawMessage)
			for key := range list {
				fetched[key] = map[string]json.RawMessage{"name": json.RawMessage(`"` + strings.ToUpper(key) + `"`)}
			}
			return fetched, nil
		},
	})
	_, stop := start(srv)
	defer stop()
	for _, topic := range []string{"room:1", "named:1"} {
		want := func(parts ...string) {
			t.Helper()
			state, err := json.Marshal(srv.PresenceState(t.Context(), topic))
			if err != nil {
				t.Fatal(err)
			}
			list, err := json.Marshal(srv.Presences(t.Context(), topic))
			if err != nil {
				t.Fatal(err)
			}
			if string(state) != string(list) {
				t.Errorf("%s: state %s, list %s", topic, state, list)
			}
			for _, part := range parts {
				if !strings.Contains(string(state), part) {
					t.Errorf("%s: %s is not in %s", topic, part, state)
				}
			}
		}
		want(`{}`)
		ann, bob := srv.NewTracked(), srv.NewTracked()
		for _, tab := range []*trunkline.Tracked{ann, bob} {
			if _, err := tab.Track(topic, "ann", object{"device": "phone"}); err != nil {
				t.Fatal(err)
			}
			want(`"ann":{"metas":[{"device":"phone"`)
		}
		ref, err := bob.Track(topic, `b"o"b`, object{})
		if err != nil {
			t.Fatal(err)
		}
		want(`"b\"o\"b":{"metas":[{"phx_ref":"` + ref)
		ann.Close()
		bob.Close()
		want(`{}`)
	}
}
