package chat

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/trunkline/trunkline"
	"github.com/trunkline/trunkline/internal/pgtest"
)

// serve runs the demo on a database of its own and returns its address.
func serve(t *testing.T, o Options) string {
	t.Helper()
	return serveOn(t, pgtest.URL(t), o)
}

// serveOn is one more node on a database.
func serveOn(t *testing.T, database string, o Options) string {
	t.Helper()
	srv, err := trunkline.New(trunkline.Config{
		DatabaseURL: database, SecretKeyBase: strings.Repeat("0123456789abcdef", 4),
	})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", Register(srv, o))
	mux.Handle("/socket/", srv)
	web := httptest.NewServer(mux)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		web.Close()
	})
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for srv.Ready(ctx) != nil {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not ready: %v", srv.Ready(ctx))
		}
	}
	return web.URL
}

// dial connects with a token; status is the HTTP answer's.
func dial(t *testing.T, address, token string) (conn *websocket.Conn, status int, err error) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, resp, err := websocket.Dial(ctx, address+"/socket/websocket?vsn=2.0.0&token="+token, nil)
	if resp != nil {
		status = resp.StatusCode
	}
	return conn, status, err
}

// join joins a topic on a connection of its own and returns the reply.
func join(t *testing.T, address, token, topic string) (status, response string) {
	t.Helper()
	c := openTab(t, address, token)
	defer c.close()
	return c.join(topic, "{}")
}

func TestOptionsDecide(t *testing.T) {
	t.Parallel()
	errUnknown := errors.New("unknown token")
	address := serve(t, Options{
		AllowTopic: func(userID, topic string) bool { return userID == "staff" && topic == "room:staff" },
		Verify: func(_ context.Context, token string) (string, error) {
			user, ok := strings.CutPrefix(token, "of-")
			if !ok {
				return "", errUnknown
			}
			return user, nil
		},
	})
	epoch := regexp.MustCompile(`"epoch":"[^"]+"`) // differs from run to run
	const empty = `{"messages":[],"last_id":0,"more":false,"epoch":"E"}`
	for _, c := range []struct{ user, topic, status, response string }{
		{"ann", "room:lobby", "ok", empty},
		{"ann", "room:staff", "error", `{"reason":"unauthorized"}`},
		{"staff", "room:staff", "ok", empty},
		{"staff", "room:other", "error", `{"reason":"unauthorized"}`},
		{"staff", "room:private:1", "error", `{"reason":"bad password"}`},
		{"staff", "notifications:ann", "error", `{"reason":"unauthorized"}`},
		{"ann", "notifications:ann", "ok", `{"levels":[]}`},
		{"ann", "other", "error", `{"reason":"unmatched topic"}`},
	} {
		status, response := join(t, address, "of-"+c.user, c.topic)
		response = epoch.ReplaceAllString(response, `"epoch":"E"`)
		if status != c.status || response != c.response {
			t.Errorf("%s joins %s: %s %s, want %s %s", c.user, c.topic, status, response, c.status, c.response)
		}
	}
	for _, token := range []string{"", "forged", "of-", "of-" + strings.Repeat("x", maxUserID+1), "of-%ff"} {
		conn, code, err := dial(t, address, token)
		if err == nil {
			_ = conn.CloseNow()
		}
		if err == nil || code != http.StatusForbidden {
			t.Errorf("token %q: %d, want 403", token, code)
		}
	}
	// Without Options.Demo there is neither page nor tokens for anybody.
	for _, target := range []string{"/", "/app.js", "/demo/token?user=ann"} {
		resp, err := http.Get(address + target)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s: %d, want 404", target, resp.StatusCode)
		}
	}
}
