package cluster

import (
	"testing"
	"time"

	"github.com/trunkline/trunkline/internal/pgtest"
)

// repairLimit is how soon messages arrive again after the listening connection
// was lost.
const repairLimit = time.Second

// The listening connection of one node is terminated again and again under
// load. Each time messages flow again within a second, those missed are counted
// in the metric, and nothing comes out of order or twice.
func TestListenerTerminated(t *testing.T) { // alone, for its timing
	const rounds = 20
	url := pgtest.EmptyURL(t)
	a := start(t, conformance, databaseURL(url), "NODE_NAME=a")
	b := start(t, conformance, databaseURL(url), "NODE_NAME=b")
	books := openBooks(t, a, b)
	topic := "room:lobby"
	load := startStream(t, connect(t, a).join(t, topic), connect(t, b).join(t, topic), topic, 2*time.Millisecond)
	var took durations
	for range rounds {
		before := load.awaitSince(t, time.Now())
		terminate(t, url, "trunkline b listener")
		after := load.awaitAfter(t, load.sent.Load())
		took = append(took, load.longestSilence(before, after))
	}
	t.Logf("silence at each repair: %v", took)
	for _, d := range took {
		if d > repairLimit {
			t.Errorf("a repair took %v, the limit is %v", d, repairLimit)
		}
	}
	_, missing := load.settle(t)
	if missing == 0 {
		t.Error("nothing was lost: the connection was not under load")
	}
	// The bus carries presence as well, so more than these may be lost.
	if lost := b.metric(t, "trunkline_bus_lost_messages_total"); int64(lost) < missing {
		t.Errorf("%d messages are missing, the metric counts %v", missing, lost)
	}
	books.balanced(t)
	if n := b.metric(t, `trunkline_bus_reconnects_total{connection="listener"}`); n != rounds {
		t.Errorf("the metric counts %v reconnects of the listener, want %d", n, rounds)
	}
}

// terminate ends the one connection of that name, and returns when it is gone.
func terminate(t testing.TB, url, application string) {
	t.Helper()
	ended := mustQuery[int](t, url, `
		select count(*) filter (where pg_terminate_backend(pid, 5000)) from pg_stat_activity
		where datname = current_database() and application_name = $1`, application)
	if ended != 1 {
		t.Fatalf("%d connections named %q were terminated", ended, application)
	}
}
