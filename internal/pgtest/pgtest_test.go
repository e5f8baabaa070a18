//go:build unix

package pgtest

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trunkline/trunkline/internal/devdb"
)

const childEnvVar = "PGTEST_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childEnvVar) {
	case "leak":
		go func() { select {} }()
	case "die":
		dieWithServer()
	}
	Main(m)
}

// dieWithServer ends as kill -9 does, with a server running.
func dieWithServer() {
	shared.open()
	if _, _, _, err := shared.reserve(context.Background(), false); err != nil {
		panic(err)
	}
	fmt.Println(shared.home)
	if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
		panic(err)
	}
	select {}
}

// again runs this test binary in another process.
func again(t *testing.T, run string, env ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.v", "-test.run", run)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// ask returns the one value of a query.
func ask[T any](t *testing.T, url, sql string, args ...any) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	var v T
	if err := conn.QueryRow(ctx, sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

const (
	currentDatabase = "SELECT current_database()::text"
	hasSchema       = "SELECT to_regnamespace('trunkline') IS NOT NULL"
	countDatabases  = "SELECT count(*) FROM pg_database WHERE datname = $1"
)

func TestURL(t *testing.T) {
	t.Parallel()
	a, b := URL(t), URL(t)
	if x, y := ask[string](t, a, currentDatabase), ask[string](t, b, currentDatabase); x == y {
		t.Errorf("both are %s", x)
	}
	if !ask[bool](t, a, hasSchema) || ask[int](t, a, "SELECT count(*) FROM trunkline.goose_db_version") < 2 {
		t.Error("it is not migrated")
	}
	admin, err := parseGiven(a)
	if err != nil {
		t.Fatal(err)
	}
	if err := execute(t.Context(), admin, "CREATE TABLE mine ()"); err != nil {
		t.Fatal(err)
	}
	if ask[bool](t, b, "SELECT to_regclass('mine') IS NOT NULL") {
		t.Error("one sees the other's table")
	}
}

func TestEmptyURL(t *testing.T) {
	t.Parallel()
	url := EmptyURL(t)
	if ask[bool](t, url, hasSchema) {
		t.Error("it is migrated")
	}
	Migrate(t, url)
	if !ask[bool](t, url, hasSchema) {
		t.Error("Migrate did nothing")
	}
}

func TestDatabaseIsDropped(t *testing.T) {
	t.Parallel()
	admin := EmptyURL(t)
	var name string
	t.Run("user", func(t *testing.T) {
		url := URL(t)
		name = ask[string](t, url, currentDatabase)
		conn, err := pgx.Connect(t.Context(), url) // a test that forgets it
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		if ask[int](t, admin, countDatabases, name) != 1 {
			t.Errorf("no database %s", name)
		}
	})
	if ask[int](t, admin, countDatabases, name) != 0 {
		t.Errorf("database %s is still there", name)
	}
}

func TestServer(t *testing.T) {
	t.Parallel()
	var home string
	t.Run("user", func(t *testing.T) {
		db := Server(t, WithTCP(), WithSettings(map[string]string{"work_mem": "5MB"}))
		if got := ask[string](t, db.TCPURL(), "SHOW work_mem"); got != "5MB" {
			t.Errorf("work_mem = %s", got)
		}
		home = filepath.Dir(filepath.Dir(ask[string](t, db.URL(), "SHOW data_directory")))
		if err := db.StopServer(t.Context(), devdb.Immediate); err != nil {
			t.Fatal(err)
		}
		if err := db.StartServer(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := ask[string](t, db.TCPURL(), "SHOW fsync"); got != "off" {
			t.Errorf("fsync = %s", got)
		}
	})
	if _, err := os.Stat(home); !os.IsNotExist(err) {
		t.Errorf("%s: %v", home, err)
	}
}

func TestBinariesInParallel(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if out, err := again(t, "^(TestURL|TestEmptyURL)$"); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	wg.Wait()
}

func TestGivenServer(t *testing.T) {
	t.Parallel()
	db := Server(t)
	stale := fmt.Sprintf("%s%d_1_1", databasePrefix, time.Now().Add(-staleAfter-time.Minute).Unix())
	young := fmt.Sprintf("%s%d_1_1", databasePrefix, time.Now().Unix())
	for _, name := range []string{stale, young, "trunkline_test_mine"} {
		u, err := parseGiven(db.URL())
		if err != nil {
			t.Fatal(err)
		}
		if err := execute(t.Context(), u, "CREATE DATABASE "+name); err != nil {
			t.Fatal(err)
		}
	}
	out, err := again(t, "^(TestURL|TestEmptyURL|TestDatabaseIsDropped)$", urlVar+"="+db.URL())
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	got := ask[[]string](t, db.URL(), "SELECT array_agg(datname::text ORDER BY datname) FROM pg_database WHERE datname LIKE 'trunkline_test%'")
	if want := []string{young, "trunkline_test_mine"}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the server is left with %v, want %v", got, want)
	}

	out, err = again(t, "^TestURL$", urlVar+"=host=/tmp")
	if err == nil || !strings.Contains(out, urlVar+" must be a URL") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestLeakFails(t *testing.T) {
	t.Parallel()
	out, err := again(t, "^$", childEnvVar+"=leak")
	if err == nil || !strings.Contains(out, "goroutines are left over") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestAbandonedServerIsRemoved(t *testing.T) {
	if homes() == "" { // a user without a home directory
		t.Setenv("XDG_CACHE_HOME", t.TempDir())
	}
	out, err := again(t, "^$", childEnvVar+"=die")
	if err == nil {
		t.Fatalf("it was not killed: %s", out)
	}
	var home string
	for lines := bufio.NewScanner(strings.NewReader(out)); lines.Scan(); {
		if filepath.IsAbs(lines.Text()) {
			home = lines.Text()
		}
	}
	if _, err := os.Stat(home); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	old := time.Now().Add(-2 * abandonedAfter)
	if err := os.Chtimes(home, old, old); err != nil {
		t.Fatal(err)
	}
	if err := removeAbandoned(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(home); !os.IsNotExist(err) {
		t.Errorf("%s: %v", home, err)
	}
}

func TestNeedsMain(t *testing.T) {
	t.Parallel()
	var s sharedServer
	if _, _, _, err := s.reserve(t.Context(), false); err == nil || !strings.Contains(err.Error(), "pgtest.Main") {
		t.Errorf("got %v", err)
	}
}

func TestStale(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	for name, want := range map[string]bool{
		"trunkline_test_1699990000_5_1":        true,
		"trunkline_test_1699990000_5_template": true,
		"trunkline_test_1699999000_5_1":        false,
		"trunkline_test_mine":                  false,
		"trunkline_test_":                      false,
	} {
		if got := stale(name, now); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}
