package cluster

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/trunkline/trunkline/internal/pgtest"
)

// SIGTERM: clients in channels are told to come back elsewhere, those without
// get some time to go by themselves, and the process ends well.
func TestGracefulStop(t *testing.T) {
	t.Parallel()
	const (
		members = 200
		grace   = 3 * time.Second  // at least, for a client without a channel
		limit   = 10 * time.Second // of DRAIN_TIMEOUT's 30
	)
	url := databaseURL(pgtest.EmptyURL(t))
	stopping, staying := start(t, server, url), start(t, server, url)
	token := userToken(t, "someone")
	clients := make([]*client, members)
	for i := range clients {
		clients[i] = connectUser(t, stopping, token).join(t, "room:lobby")
	}
	idle := connectUser(t, stopping, token)
	other := connectUser(t, staying, token).join(t, "room:lobby")

	began := time.Now()
	stopping.terminate(t)
	var last time.Duration
	for i, c := range clients {
		if code := c.closeCode(t, limit); code != 1012 {
			t.Errorf("client %d was closed with %d (%v), want 1012", i, code, c.err)
		}
		last = time.Since(began)
	}
	t.Logf("%d clients were closed with 1012 within %v", members, last)
	if status, body, err := stopping.get(t.Context(), "/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "draining") {
		t.Errorf("/readyz of the stopping node says %d %q, %v", status, body, err)
	}
	if code := idle.closeCode(t, limit); code != codeCut {
		t.Errorf("the client without a channel was closed with %d, want no close frame", code)
	}
	if took := time.Since(began); took < grace {
		t.Errorf("the client without a channel was cut after %v, before %v", took, grace)
	} else {
		t.Logf("the client without a channel was cut after %v", took)
	}
	if err := stopping.wait(t, limit); err != nil {
		t.Errorf("the process ended with %v", err)
	}
	t.Logf("the process ended after %v", time.Since(began))
	other.undisturbed(t)
}

// Without clients there is nothing to wait for.
func TestStopWithoutClients(t *testing.T) {
	t.Parallel()
	n := start(t, server, databaseURL(pgtest.EmptyURL(t)))
	began := time.Now()
	n.terminate(t)
	if err := n.wait(t, stopTimeout); err != nil {
		t.Errorf("the process ended with %v", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the process ended after %v", took)
	} else {
		t.Logf("the process ended after %v", took)
	}
}
