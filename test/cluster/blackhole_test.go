package cluster

import (
	"net/http"
	"testing"
	"time"

	"github.com/trunkline/trunkline/internal/pgtest"
	"github.com/trunkline/trunkline/test/harness"
)

// The network between one node and Postgres swallows everything, without
// closing anything. The node says so, its clients keep their connections and
// one another, and when the network works again, so does the cluster.
func TestBlackHole(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		hole  time.Duration
		end   func(*harness.Link)
		limit time.Duration // for messages to cross again
	}{
		{"short", time.Second, (*harness.Link).Thaw, healLimit}, // no connection is given up for it
		{"long", 8 * time.Second, (*harness.Link).Thaw, healLimit},
		// The attempt to connect that began in the hole is dead as well, and given up
		// after 2 s only.
		{"long, old connections stay dead", 8 * time.Second, (*harness.Link).Renew, healLimit + 2*time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := pgtest.Server(t, pgtest.WithTCP())
			link := startLink(t, hostPort(t, db.TCPURL()))
			a := start(t, conformance, databaseURL(db.URL()))
			b := start(t, conformance, databaseURL(redirected(t, db.TCPURL(), link.Address())))
			books, reverse := openBooks(t, a, b), openBooks(t, b, a)
			onA, onB := watch(t, a, "node without a hole"), watch(t, b, "node behind the hole")
			fromA := startStream(t, connect(t, a).join(t, "room:a"), connect(t, b).join(t, "room:a"), "room:a", 20*time.Millisecond)
			fromB := startStream(t, connect(t, b).join(t, "room:b"), connect(t, a).join(t, "room:b"), "room:b", 20*time.Millisecond)
			fromA.awaitSince(t, time.Now())
			fromB.awaitSince(t, time.Now())
			readyA, readyB := watchReady(t, a), watchReady(t, b)

			began := time.Now()
			link.Freeze()
			observe(t, c.hole)
			healed := time.Now()
			c.end(link)
			for name, s := range map[string]*stream{"to the node": fromA, "from the node": fromB} {
				flowed := s.awaitSince(t, healed).Sub(healed)
				if flowed > c.limit {
					t.Errorf("messages %s crossed again %v after the end of the hole, the limit is %v", name, flowed, c.limit)
				}
				t.Logf("messages %s crossed again %v after the end of the hole", name, flowed)
			}
			if c.hole > noticeLimit {
				readyB.check(t, "node behind the hole", began, healed)
			} else {
				readyB.first(t, healed, http.StatusOK)
			}
			readyA.stop()
			for _, answer := range readyA.answers {
				if answer.status != http.StatusOK {
					t.Errorf("the node without a hole is not ready: %s", answer.reason)
				}
			}
			onA.end(t)
			onB.end(t)
			_, missingFromA := fromA.settle(t)
			_, missingFromB := fromB.settle(t)
			if c.hole <= time.Second && missingFromA+missingFromB > 0 {
				t.Error("a short hole lost messages")
			}
			books.balanced(t)
			reverse.balanced(t)
		})
	}
}
