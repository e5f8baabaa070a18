package cluster

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

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

	applied := appliedMigrations(t, url)
	if len(applied) == 0 {
		t.Error("no migration is applied")
	}
	for version, times := range applied {
		if times != 1 {
			t.Errorf("migration %d is recorded %d times", version, times)
		}
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

// appliedMigrations counts the records by version.
func appliedMigrations(t testing.TB, url string) map[int64]int {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), "SELECT version_id FROM trunkline.goose_db_version WHERE version_id > 0 AND is_applied")
	if err != nil {
		t.Fatal(err)
	}
	versions, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		t.Fatal(err)
	}
	applied := map[int64]int{}
	for _, v := range versions {
		applied[v]++
	}
	return applied
}
