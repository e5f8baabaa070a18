package cluster

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trunkline/trunkline/internal/pgtest"
)

// Ten nodes start at once on an empty database: each migration is applied once,
// and every node hears every other.
func TestTenNodesAtOnce(t *testing.T) { // alone, as it fills the machine
	const count = 10
	url := pgtest.EmptyURL(t)
	began := time.Now()
	nodes := make([]*node, count)
	for i := range nodes {
		nodes[i] = launch(t, server, databaseURL(url), fmt.Sprintf("NODE_NAME=node%d", i))
	}
	for _, n := range nodes {
		n.awaitReady(t)
	}
	t.Logf("%d nodes were ready %v after the first was started", count, time.Since(began))

	applied := mustQuery[[]int64](t, url, "SELECT array_agg(version_id ORDER BY version_id) FROM trunkline.goose_db_version WHERE version_id > 0")
	if once := slices.Compact(slices.Clone(applied)); len(applied) == 0 || len(once) != len(applied) {
		t.Errorf("migrations recorded as applied: %v, want each once", applied)
	}
	status := exec.Command(server.path(), "migrate", "status")
	status.Env = []string{databaseURL(url)}
	if out, err := status.CombinedOutput(); err != nil || strings.Contains(string(out), "pending") {
		t.Errorf("migrate status: %v\n%s", err, out)
	}

	topic := "room:lobby"
	members := make([]*client, count)
	for i, n := range nodes {
		members[i] = connect(t, n).join(t, topic)
	}
	for _, speaker := range members {
		speaker.mustPush(t, topic, "typing", object{})
		for _, c := range members {
			if c != speaker {
				c.expect(t, topic, "typing")
			}
		}
	}
}
