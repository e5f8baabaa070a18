package cluster

import (
	"testing"
	"time"

	"github.com/trunkline/trunkline/internal/pgtest"
)

// rejoinLimit is how soon after its start a node takes part in the cluster.
const rejoinLimit = 2 * time.Second

// A node is killed: the clients of the other notice nothing. Its successor takes
// part at once.
func TestNodeKilled(t *testing.T) {
	t.Parallel()
	url := databaseURL(pgtest.EmptyURL(t))
	a, b := start(t, conformance, url), start(t, conformance, url)
	topic := "room:shared"
	onA, onB := connect(t, a).join(t, topic), connect(t, b).join(t, topic)
	speaker := connect(t, b).join(t, topic)
	speaker.mustPush(t, topic, "new_msg", object{"body": "before"})
	onA.expect(t, topic, "new_msg")
	others := watch(t, a, "survivor")

	b.Kill()
	if code := onB.closeCode(t, patience); code != codeCut {
		t.Errorf("a client of the killed node was closed with %d", code)
	}
	observe(t, 3*time.Second)
	onA.undisturbed(t)

	began := time.Now()
	b = start(t, conformance, url)
	t.Logf("ready %v after the start of the process", time.Since(began))
	again := connect(t, b).join(t, topic)
	onA.mustPush(t, topic, "new_msg", object{"body": "to the new node"})
	onA.expect(t, topic, "new_msg")
	again.expect(t, topic, "new_msg")
	again.mustPush(t, topic, "new_msg", object{"body": "from the new node"})
	again.expect(t, topic, "new_msg")
	onA.expect(t, topic, "new_msg")
	if took := time.Since(began); took > rejoinLimit {
		t.Errorf("the new node had exchanged messages %v after its start, the limit is %v", took, rejoinLimit)
	} else {
		t.Logf("messages crossed both ways %v after the start of the process", took)
	}
	others.end(t)
}

// observe lets time pass in which nothing may happen to those who are watched.
func observe(t testing.TB, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}
