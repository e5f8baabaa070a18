package realtime

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A client over a real HTTP server, which leaves while its poll waits.
func TestLongPollOverHTTP(t *testing.T) {
	t.Parallel()
	const window = 300 * time.Millisecond
	n := newPollNode(t, nil, MountOptions{
		LongPoll: LongPollOptions{Window: window},
		Timeout:  window / 6, // for the body of a POST only: a POST may wait longer
	})
	n.slow = window / 2
	server := httptest.NewServer(n.mux)
	defer server.Close()
	client := server.Client()
	defer client.CloseIdleConnections()
	c := n.open(t)

	do := func(ctx context.Context, method, body string) (length int64, answer string) {
		r, err := http.NewRequestWithContext(ctx, method, server.URL+c.target(), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(r)
		if err != nil {
			if ctx.Err() == nil {
				t.Fatal(err)
			}
			return 0, ""
		}
		defer res.Body.Close()
		raw, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.ContentLength, string(raw)
	}
	if _, body := do(t.Context(), "POST", `["1","1","room:slow","phx_join",{}]`); body != `{"status":200}` {
		t.Fatalf("a join got %s", body)
	}
	length, body := do(t.Context(), "GET", "")
	if !strings.Contains(body, `"status":200`) || length != int64(len(body)) {
		t.Fatalf("a poll got %s, its content-length is %d", body, length)
	}

	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan struct{})
	go func() {
		defer close(left)
		do(ctx, "GET", "")
	}()
	session := n.session(t)
	await(t, "the poll waits", func() bool {
		session.mu.Lock()
		defer session.mu.Unlock()
		return session.ready != nil
	})
	cancel()
	<-left
	await(t, "the poll is withdrawn", func() bool {
		session.mu.Lock()
		defer session.mu.Unlock()
		return session.ready == nil
	})
	if err := n.engine.Broadcast("room:slow", "news", EmptyObject); err != nil {
		t.Fatal(err)
	}
	if _, body := do(t.Context(), "GET", ""); !strings.Contains(body, "news") {
		t.Fatalf("the next poll got %s", body)
	}
}

// A client that does not send the body that it announced is not waited for
// longer than Timeout.
func TestLongPollSlowBody(t *testing.T) {
	t.Parallel()
	n := newPollNode(t, nil, MountOptions{Timeout: 50 * time.Millisecond})
	server := httptest.NewServer(n.mux)
	defer server.Close()
	c := n.open(t)
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n[", c.target())
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusBadRequest {
		t.Fatalf("got %s", res.Status)
	}
}

// session is the node's only session.
func (n *pollNode) session(t *testing.T) *longPollSession {
	t.Helper()
	n.engine.polls.mu.Lock()
	defer n.engine.polls.mu.Unlock()
	for _, s := range n.engine.polls.sessions {
		return s
	}
	t.Fatal("no session")
	return nil
}

// await waits for a condition that nothing announces.
func await(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}
