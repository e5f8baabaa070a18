package cluster

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trunkline/trunkline/internal/pgtest"
)

// refuseLimit is how soon a server that cannot work with its settings says so.
const refuseLimit = 15 * time.Second

// With a pooler for its queries and a direct way for LISTEN a node works. With
// the pooler alone it refuses to start and says what to set.
func TestPgBouncer(t *testing.T) {
	t.Parallel()
	db := pgtest.Server(t, pgtest.WithTCP())
	pooled := redirected(t, db.TCPURL(), startPgBouncer(t, hostPort(t, db.TCPURL())))

	refused := func(t *testing.T) {
		began := time.Now()
		n := launch(t, server, databaseURL(pooled))
		if err := n.wait(t, refuseLimit); err == nil {
			t.Error("the server ended without an error")
		}
		t.Logf("refused after %v:\n%s", time.Since(began), n.output)
		for _, word := range []string{"PgBouncer", "DATABASE_DIRECT_URL"} {
			if !strings.Contains(n.output.String(), word) {
				t.Errorf("its output does not name %s", word)
			}
		}
	}
	t.Run("pooler alone, empty database", func(t *testing.T) {
		refused(t)
		if mustQuery[bool](t, db.TCPURL(), "SELECT to_regnamespace('trunkline') IS NOT NULL") {
			t.Error("it has migrated the database through the pooler, where its lock means nothing")
		}
	})
	t.Run("pooler and direct", func(t *testing.T) {
		env := []string{databaseURL(pooled), "DATABASE_DIRECT_URL=" + db.TCPURL()}
		a, b := start(t, server, env...), start(t, server, env...)
		topic := "room:lobby"
		crossing := startStream(t, connect(t, a).join(t, topic), connect(t, b).join(t, topic), topic, 5*time.Millisecond)
		crossing.awaitAfter(t, 100)
		if _, missing := crossing.settle(t); missing != 0 {
			t.Errorf("%d messages are missing", missing)
		}
		if n := pooledClients(t, pooled); n < 2 {
			t.Errorf("%d connections go through the pooler, want one of each node", n)
		}
	})
	t.Run("pooler alone, migrated database", refused)
}

// startPgBouncer pools in transaction mode in front of that Postgres, and
// returns its address.
func startPgBouncer(t testing.TB, postgres string) string {
	t.Helper()
	binary, err := exec.LookPath("pgbouncer")
	if err != nil {
		if binary, err = exec.LookPath("/usr/sbin/pgbouncer"); err != nil {
			t.Fatal("pgbouncer is not installed: `make deps` does it, or `apt-get install pgbouncer`")
		}
	}
	host, port, err := net.SplitHostPort(postgres)
	if err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	ownHost, ownPort, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	settings := filepath.Join(t.TempDir(), "pgbouncer.ini")
	// auth_type any takes whoever comes for the user named with the database.
	err = os.WriteFile(settings, fmt.Appendf(nil, `
[databases]
* = host=%s port=%s user=postgres
[pgbouncer]
listen_addr = %s
listen_port = %s
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 5
`, host, port, ownHost, ownPort), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	arguments := []string{settings}
	if os.Geteuid() == 0 { // which it refuses to run as
		arguments = append([]string{"-u", unprivileged(t)}, arguments...)
	}
	p := run(t, exec.Command(binary, arguments...))
	t.Cleanup(p.Kill) // it takes SIGTERM for a failure
	eventually(t, patience, "PgBouncer accepts connections", func() bool {
		if !p.Running() {
			t.Fatalf("PgBouncer has ended: %v\n%s", p.Err(), p.output)
		}
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		_ = conn.Close()
		return true
	})
	return address
}

func unprivileged(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"postgres", "nobody"} {
		if _, err := user.Lookup(name); err == nil {
			return name
		}
	}
	t.Fatal("PgBouncer refuses to run as root, and there is neither a user postgres nor a user nobody")
	return ""
}

// pooledClients counts whom PgBouncer's console lists for the database.
func pooledClients(t testing.TB, pooled string) int {
	t.Helper()
	config, err := pgx.ParseConfig(pooled)
	if err != nil {
		t.Fatal(err)
	}
	database := config.Database
	config.Database = "pgbouncer"
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	var clients []map[string]any
	err = withConnection(t.Context(), config, func(conn *pgx.Conn) error {
		rows, err := conn.Query(t.Context(), "SHOW CLIENTS")
		if err != nil {
			return err
		}
		clients, err = pgx.CollectRows(rows, pgx.RowToMap)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, row := range clients {
		if row["database"] == database {
			count++
		}
	}
	return count
}
