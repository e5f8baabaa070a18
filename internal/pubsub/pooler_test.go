package pubsub

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trunkline/trunkline/internal/pgtest"
)

func TestSelfTest(t *testing.T) {
	t.Parallel()
	if err := SelfTest(context.Background(), pgtest.URL(t)); err != nil {
		t.Error(err)
	}
}

// Behind a transaction pooler LISTEN succeeds and nothing arrives. The bus finds
// out at the start, and says what to do.
func TestSelfTestNamesThePooler(t *testing.T) {
	t.Parallel()
	server := pgtest.Server(t, pgtest.WithTCP())
	pooled := pooler(t, server.TCPURL())
	check := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, ErrListenDead) || !strings.Contains(err.Error(), "PgBouncer") || !strings.Contains(err.Error(), "DATABASE_DIRECT_URL") {
			t.Errorf("%s: %v", what, err)
		}
	}
	check("SelfTest", SelfTest(context.Background(), pooled))
	b := prepare(t, Config{DirectURL: pooled})
	started := time.Now()
	check("Run", b.Run(context.Background()))
	if took := time.Since(started); took > 10*time.Second {
		t.Errorf("Run took %v to find out", took)
	}
	if err := b.Ready(); err == nil {
		t.Error("the bus is ready")
	}
}

// pooler starts a PgBouncer in transaction mode in front of a database.
func pooler(t testing.TB, behind string) string {
	t.Helper()
	binary, err := exec.LookPath("pgbouncer")
	if err != nil {
		if binary, err = exec.LookPath("/usr/sbin/pgbouncer"); err != nil {
			t.Fatal("this test needs pgbouncer: install it, for example with apt-get install pgbouncer")
		}
	}
	config, err := pgx.ParseConfig(behind)
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	dir, err := os.MkdirTemp("", "pgbouncer-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	settings := fmt.Sprintf(`
[databases]
%s = host=%s port=%d user=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
`, config.Database, config.Host, config.Port, config.User, port)
	file := filepath.Join(dir, "pgbouncer.ini")
	if err := os.WriteFile(file, []byte(settings), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(binary, file)
	output := &strings.Builder{}
	command.Stdout, command.Stderr = output, output
	if os.Geteuid() == 0 { // which PgBouncer refuses to run as
		command.SysProcAttr = &syscall.SysProcAttr{Credential: nobody(t)}
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	var waitErr error // read after ended
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		waitErr = command.Wait()
	}()
	t.Cleanup(func() {
		_ = command.Process.Kill()
		<-ended
	})
	pooled := fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?sslmode=disable", config.User, port, config.Database)
	for deadline := time.Now().Add(patience); ; {
		conn, err := pgx.Connect(context.Background(), pooled)
		if err == nil {
			_ = conn.Close(context.Background())
			return pooled
		}
		select {
		case <-ended:
			t.Fatalf("pgbouncer ended: %v\n%s", waitErr, output)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("pgbouncer: %v", err)
		}
	}
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

func nobody(t testing.TB) *syscall.Credential {
	t.Helper()
	account, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, errUID := strconv.ParseUint(account.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(account.Gid, 10, 32)
	if err := errors.Join(errUID, errGID); err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}
