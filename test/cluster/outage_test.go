package cluster

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/trunkline/trunkline/internal/devdb"
	"github.com/trunkline/trunkline/internal/pgtest"
)

const (
	// healLimit is how soon messages cross again when Postgres is back.
	healLimit = 2 * time.Second
	// noticeLimit is how soon /readyz tells of a link that swallows everything.
	noticeLimit = 5 * time.Second
)

// Postgres goes away and comes back. The clients of both nodes keep their
// connections and one another, the nodes say that they are not ready, and the
// cluster heals by itself.
func TestPostgresAway(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		away func(*testing.T, *devdb.DB)
	}{
		{"stopped for 10s", func(t *testing.T, db *devdb.DB) { stopFor(t, db, devdb.Fast, 10*time.Second) }},
		{"immediate stop for 10s", func(t *testing.T, db *devdb.DB) { stopFor(t, db, devdb.Immediate, 10*time.Second) }},
		{"kill -9 of the postmaster", func(t *testing.T, db *devdb.DB) { // devdb starts another
			if err := syscall.Kill(db.PID(), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := pgtest.Server(t)
			a, b := start(t, conformance, databaseURL(db.URL())), start(t, conformance, databaseURL(db.URL()))
			books, reverse := openBooks(t, a, b), openBooks(t, b, a)
			onA, onB := watch(t, a, "first node"), watch(t, b, "second node")
			topic := "room:crossing"
			crossing := startStream(t, connect(t, a).join(t, topic), connect(t, b).join(t, topic), topic, 20*time.Millisecond)
			crossing.awaitSince(t, time.Now())
			readyA, readyB := watchReady(t, a), watchReady(t, b)

			began := time.Now()
			accepting := awaitAccepting(t, db.URL(), began)
			c.away(t, db)
			back := <-accepting
			if back.IsZero() {
				t.Fatal("Postgres does not accept connections again")
			}
			t.Logf("Postgres was away for %v", back.Sub(began))
			flowed := crossing.awaitSince(t, back).Sub(back)
			if flowed > healLimit {
				t.Errorf("messages crossed again %v after the return, the limit is %v", flowed, healLimit)
			}
			t.Logf("messages crossed again %v after the return", flowed)
			readyA.check(t, "first node", began, back)
			readyB.check(t, "second node", began, back)
			onA.end(t)
			onB.end(t)
			crossing.settle(t)
			books.balanced(t)
			reverse.balanced(t)
		})
	}
}

// stopFor stops Postgres and starts it after that time.
func stopFor(t *testing.T, db *devdb.DB, mode devdb.StopMode, away time.Duration) {
	t.Helper()
	if err := db.StopServer(t.Context(), mode); err != nil {
		t.Fatal(err)
	}
	observe(t, away)
	if err := db.StartServer(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// awaitAccepting tells when a Postgres that was started after that moment
// accepts connections; the zero time if it does not in time.
func awaitAccepting(t testing.TB, url string, since time.Time) <-chan time.Time {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	found := make(chan time.Time, 1)
	var working sync.WaitGroup
	working.Go(func() {
		defer close(found)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			if startedAfter(ctx, url, since) == nil {
				found <- time.Now()
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	t.Cleanup(func() { cancel(); working.Wait() })
	return found
}

func startedAfter(ctx context.Context, url string, since time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	started, err := query[time.Time](ctx, url, "SELECT pg_postmaster_start_time()")
	if err == nil && started.Before(since) {
		return errors.New("it is still the old one")
	}
	return err
}

// A readiness asks /readyz again and again.
type readiness struct {
	*probe
	mu      sync.Mutex
	answers []readyAnswer
}

type readyAnswer struct {
	asked, answered time.Time
	status          int
	reason          string
}

func watchReady(t testing.TB, n *node) *readiness {
	t.Helper()
	r := &readiness{}
	r.probe = startProbe(t, 50*time.Millisecond, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		asked := time.Now()
		status, body, err := n.get(ctx, "/readyz")
		r.mu.Lock()
		defer r.mu.Unlock()
		r.answers = append(r.answers, readyAnswer{asked, time.Now(), status, body})
		return err
	})
	return r
}

// first waits for the first answer of that status to a question asked since.
func (r *readiness) first(t testing.TB, since time.Time, status int) readyAnswer {
	t.Helper()
	var found readyAnswer
	eventually(t, patience, http.StatusText(status)+" from /readyz", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, a := range r.answers {
			if a.status == status && !a.asked.Before(since) {
				found = a
				return true
			}
		}
		return false
	})
	return found
}

// check checks that the node was not ready from soon after the beginning of an
// outage to its end, with a reason, and waits until it is ready again.
func (r *readiness) check(t testing.TB, name string, began, back time.Time) {
	t.Helper()
	noticed := r.first(t, began, http.StatusServiceUnavailable)
	again := r.first(t, back, http.StatusOK)
	r.stop()
	if took := noticed.answered.Sub(began); took > noticeLimit {
		t.Errorf("%s: /readyz told of the outage after %v, the limit is %v", name, took, noticeLimit)
	}
	reasons := map[string]bool{}
	for _, a := range r.answers {
		if a.asked.Before(noticed.asked) || a.answered.After(back) {
			continue
		}
		if a.status != http.StatusServiceUnavailable || a.reason == "" {
			t.Errorf("%s: /readyz said %d %q in the middle of the outage", name, a.status, a.reason)
		}
		reasons[a.reason] = true
	}
	for reason := range reasons {
		t.Logf("%s: not ready: %s", name, reason)
	}
	t.Logf("%s: 503 %v after the beginning, 200 %v after the end", name, noticed.answered.Sub(began), again.answered.Sub(back))
}
