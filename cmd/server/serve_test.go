package main

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/trunkline/trunkline/internal/pgtest"
)

func TestServe(t *testing.T) {
	t.Parallel()
	n := serve(t, pgtest.EmptyURL(t))
	for path, want := range map[string]int{
		"/healthz":            200,
		"/readyz":             200,
		"/metrics":            200,
		"/":                   404, // no demo
		"/demo/token?user=me": 404,
		"/socket":             404,
	} {
		if status, body := get(t, n.url()+path); status != want {
			t.Errorf("%s: %d, want %d: %s", path, status, want, body)
		}
	}
	mustRun(t, settings{"PORT=" + n.port}, "healthcheck")

	token := mustRun(t, settings{"SECRET_KEY_BASE=" + secret}, "token", "sign", "42")
	client := join(t, n, token, "room:lobby")
	if code := n.stop(); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
	if code := client.closed(); code != websocket.StatusServiceRestart {
		t.Errorf("the client's close code is %d, want 1012", code)
	}
	if code, out := run(t, settings{"PORT=" + n.port}, "healthcheck"); code != 1 || !strings.Contains(out, "refused") {
		t.Errorf("healthcheck of a stopped server: exit code %d: %s", code, out)
	}
	if out := n.out.String(); strings.Contains(out, strings.TrimSpace(token)) || strings.Contains(out, secret) {
		t.Error("the log holds the token or the secret")
	}
}

func TestSettingsTakeEffect(t *testing.T) {
	t.Parallel()
	n := serve(t, pgtest.URL(t),
		"DEMO=true", "SKIP_MIGRATIONS=true", "ALLOW_ROOMS=room:news,room:team-*", "CHECK_ORIGIN=https://app.example",
		"LOG_FORMAT=text", "NODE_NAME=blue")
	if out := n.out.String(); !strings.Contains(out, "blue") {
		t.Errorf("the log does not name the node: %s", out)
	}
	if status, body := get(t, n.url()+"/"); status != 200 || !strings.Contains(body, "<html") {
		t.Errorf("the demo's page: %d: %.100s", status, body)
	}
	if status, body := get(t, n.url()+"/demo/token?user=me"); status != 200 {
		t.Errorf("/demo/token: %d: %s", status, body)
	}
	token := mustRun(t, settings{"SECRET_KEY_BASE=" + secret}, "token", "sign", "42")
	for topic, want := range map[string]string{
		"room:news": "ok", "room:team-red": "ok", "room:other": "error", "notifications:42": "ok", "notifications:43": "error",
	} {
		if _, status := tryJoin(t, n, token, topic); status != want {
			t.Errorf("join of %s: %q, want %q", topic, status, want)
		}
	}
	for origin, want := range map[string]int{"https://app.example": 101, "https://evil.example": 403} {
		header := http.Header{"Origin": {origin}}
		conn, resp, err := websocket.Dial(t.Context(), n.url()+"/socket/websocket?vsn=2.0.0&token="+strings.TrimSpace(token), &websocket.DialOptions{HTTPHeader: header})
		if resp == nil {
			t.Fatal(err)
		}
		if conn != nil {
			_ = conn.CloseNow()
		}
		if resp.StatusCode != want {
			t.Errorf("origin %s: %d, want %d", origin, resp.StatusCode, want)
		}
	}
}

func TestTenNodesOnAnEmptyDatabase(t *testing.T) {
	t.Parallel()
	database := pgtest.EmptyURL(t)
	var nodes []*node
	for range 10 {
		nodes = append(nodes, begin(t, database))
	}
	for _, n := range nodes {
		n.ready()
	}
	for _, n := range nodes {
		if status, body := get(t, n.url()+"/readyz"); status != 200 {
			t.Errorf("node at port %s: %d: %s", n.port, status, body)
		}
	}
	if out := mustRun(t, settings{"DATABASE_URL=" + database}, "migrate", "status"); strings.Contains(out, "pending") {
		t.Errorf("migrations: %s", out)
	}
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: frameTimeout}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}
