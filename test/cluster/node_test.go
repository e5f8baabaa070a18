package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/trunkline/trunkline/test/harness"
)

// secret is what the conformance application signs tokens with.
var secret = strings.Repeat("0123456789abcdef", 4)

// A node is a running server.
type node struct {
	*process
	program program
	env     []string
	address string // host:port
}

// start starts a node and waits until it is ready.
func start(t testing.TB, p program, env ...string) *node {
	t.Helper()
	n := launch(t, p, env...)
	n.awaitReady(t)
	return n
}

// launch starts a node with these settings and no others.
func launch(t testing.TB, p program, env ...string) *node {
	t.Helper()
	n := &node{program: p, env: env}
	n.launch(t)
	return n
}

func (n *node) launch(t testing.TB) {
	t.Helper()
	n.address = freeAddress(t)
	_, port, err := net.SplitHostPort(n.address)
	if err != nil {
		t.Fatal(err)
	}
	arguments := []string{"-listen", n.address}
	if n.program == server {
		arguments = []string{"serve"}
	}
	cmd := exec.Command(n.program.path(), arguments...)
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"),
		"PORT=" + port, "BIND=127.0.0.1", "SECRET_KEY_BASE=" + secret,
	}, n.env...)
	n.process = run(t, cmd)
}

// freeAddress is free now; see awaitReady for when it is not any more.
func freeAddress(t testing.TB) string {
	t.Helper()
	address, err := harness.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// awaitReady waits until /readyz says so. A node whose port somebody else took
// first is started again.
func (n *node) awaitReady(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		err := harness.AwaitReady(ctx, n.Process, n.address)
		switch {
		case err == nil:
			return
		case !n.Running() && harness.AddressTaken(n.output.String()):
			n.launch(t)
		default:
			t.Fatalf("the node is not ready: %v\n%s", err, n.output)
		}
	}
}

// get fetches a page; the status is 0 where there is no answer.
func (n *node) get(ctx context.Context, path string) (status int, body string, err error) {
	return n.do(ctx, http.MethodGet, path, nil)
}

func (n *node) do(ctx context.Context, method, path string, body []byte) (int, string, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+n.address+path, bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	response, err := httpClient().Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, strings.TrimSpace(string(answer)), err
}

// httpClient keeps no connection, so that no goroutine outlives a test.
func httpClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
}

// hook makes the conformance application act from outside any channel.
func (n *node) hook(t testing.TB, body map[string]any) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	status, answer, err := n.do(t.Context(), http.MethodPost, "/__server", text)
	if err != nil || status != http.StatusNoContent {
		t.Fatalf("hook %s: %d %s %v", text, status, answer, err)
	}
}

// metric reads one series of /metrics, named with its labels as it stands there.
func (n *node) metric(t testing.TB, series string) float64 {
	t.Helper()
	all, err := harness.Metrics(t.Context(), n.address)
	if err != nil {
		t.Fatal(err)
	}
	value, ok := all[series]
	if !ok {
		t.Fatalf("no metric %s in %v", series, all)
	}
	return value
}

// userToken has the command line sign a token for the user.
func userToken(t testing.TB, user string) string {
	t.Helper()
	cmd := exec.Command(server.path(), "token", "sign", user)
	cmd.Env = []string{"SECRET_KEY_BASE=" + secret}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("token sign: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// databaseURL is the setting of that name.
func databaseURL(url string) string { return "DATABASE_URL=" + url }

// eventually waits until the condition holds.
func eventually(t testing.TB, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline.C:
			t.Fatalf("not within %v: %s", limit, what)
		case <-tick.C:
		}
	}
}
