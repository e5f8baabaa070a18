//go:build unix

package devdb

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestFirstAndSecondStart(t *testing.T) {
	t.Parallel()
	dir := newHome(t)
	o := quick(dir)
	o.ReuseInitdb = false // a real initdb
	var out syncBuffer
	o.Output = &out

	db := mustStart(t, o)
	if db.Joined() {
		t.Error("the first start joined somebody")
	}
	if text := out.String(); !strings.Contains(text, "Making a development database in "+dir) || !strings.Contains(text, "is ready") {
		t.Errorf("it did not say what it does: %q", text)
	}
	info, err := os.Stat(db.socketDir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("socket directory: %v, %v; want mode 0700", info, err)
	}
	mustExec(t, db.URL(), "CREATE TABLE kept AS SELECT 42 AS n")

	ctx := t.Context()
	conn, err := pgx.Connect(ctx, db.URL())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"listen_addresses": "", "unix_socket_permissions": "0700", "server_encoding": "UTF8", "lc_collate": "C", "fsync": "off",
	} {
		var got string
		err := conn.QueryRow(ctx, "SELECT setting FROM pg_settings WHERE name = $1", name).Scan(&got)
		if errors.Is(err, pgx.ErrNoRows) { // since 16 a property of the database
			err = conn.QueryRow(ctx, "SELECT datcollate FROM pg_database WHERE datname = current_database()").Scan(&got)
		}
		if err != nil || got != want {
			t.Errorf("%s = %q, %v; want %q", name, got, err, want)
		}
	}
	var current string
	if err := conn.QueryRow(ctx, "SELECT current_database()").Scan(&current); err != nil || current != "trunkline" {
		t.Errorf("database %q, %v", current, err)
	}
	if err := conn.Close(ctx); err != nil {
		t.Error(err)
	}

	mustStop(t, db)
	mustStop(t, db) // a second stop does nothing
	if _, err := os.Stat(db.socketDir); !os.IsNotExist(err) {
		t.Errorf("the socket directory is still there: %v", err)
	}
	if err := db.StartServer(ctx); err == nil {
		t.Error("a database that was stopped for good started again")
	}

	again := mustStart(t, o)
	mustExec(t, again.URL(), "SELECT n FROM kept")
	if strings.Count(out.String(), "Making") != 1 {
		t.Errorf("the second start made the database anew: %q", out.String())
	}
}

func TestJoinAndTakeOver(t *testing.T) {
	t.Parallel()
	o := quick(newHome(t))
	owner := mustStart(t, o)
	o.Database = "second"
	joined := mustStart(t, o)
	if !joined.Joined() || owner.Joined() {
		t.Fatalf("joined: %v and %v, want false and true", owner.Joined(), joined.Joined())
	}
	if joined.PID() != owner.PID() || joined.URLFor("x") != owner.URLFor("x") {
		t.Error("the two do not use the same server")
	}
	mustExec(t, joined.URL(), "CREATE TABLE kept AS SELECT 1 AS n")
	for name, call := range map[string]func(context.Context) error{
		"Restart":     joined.Restart,
		"StartServer": joined.StartServer,
		"StopServer":  func(ctx context.Context) error { return joined.StopServer(ctx, Fast) },
	} {
		if err := call(t.Context()); !errors.Is(err, ErrJoined) {
			t.Errorf("%s of one who joined: %v, want ErrJoined", name, err)
		}
	}

	// The URL that the second one gave away stays good.
	url := joined.URL()
	mustStop(t, owner)
	eventually(t, "take over", func() bool { return execSQL(t, url, "SELECT n FROM kept") == nil })
	eventually(t, "be the owner", func() bool { return !joined.Joined() })
	if joined.URL() != url {
		t.Errorf("the URL changed from %s to %s", url, joined.URL())
	}
	if err := joined.Restart(t.Context()); err != nil {
		t.Errorf("restart after taking over: %v", err)
	}
}

func TestJoinedStopLeavesTheServer(t *testing.T) {
	t.Parallel()
	o := quick(newHome(t))
	owner := mustStart(t, o)
	joined := mustStart(t, o)
	mustStop(t, joined)
	mustExec(t, owner.URL(), "SELECT 1")
}

func TestOutage(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]StopMode{"fast": Fast, "immediate": Immediate} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := mustStart(t, quick(newHome(t)))
			ctx := t.Context()
			mustExec(t, db.URL(), "CREATE TABLE kept AS SELECT 1 AS n")
			// An open transaction must not hold up a stop.
			conn, err := pgx.Connect(ctx, db.URL())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close(ctx) }() // its server is gone by then
			if _, err := conn.Exec(ctx, "BEGIN; LOCK TABLE kept"); err != nil {
				t.Fatal(err)
			}
			url := db.URL()
			for range 2 { // the second call changes nothing
				if err := db.StopServer(ctx, mode); err != nil {
					t.Fatal(err)
				}
				if db.PID() != 0 {
					t.Errorf("PID() = %d while stopped", db.PID())
				}
			}
			if err := execSQL(t, url, "SELECT 1"); err == nil {
				t.Fatal("a stopped server answers")
			}
			for range 2 {
				if err := db.StartServer(ctx); err != nil {
					t.Fatal(err)
				}
			}
			mustExec(t, url, "SELECT n FROM kept")
			if db.URL() != url {
				t.Error("the URL changed")
			}
			select {
			case <-db.Done():
				t.Error("an outage on purpose counts as the end:", db.Err())
			default:
			}
		})
	}
}

func TestTCP(t *testing.T) {
	t.Parallel()
	// Somebody else may take the port meanwhile; then another one will do.
	for try := range 5 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		o := quick(newHome(t))
		o.Port = l.Addr().(*net.TCPAddr).Port

		// While the port is taken, the error shows what Postgres says.
		if _, err := Start(t.Context(), o); err == nil || !strings.Contains(err.Error(), "already in use") {
			t.Fatalf("start on a taken port: %v", err)
		}
		l.Close()
		db, err := Start(t.Context(), o)
		if err != nil && try < 4 && strings.Contains(err.Error(), "already in use") {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { mustStop(t, db) })
		mustExec(t, db.TCPURL(), "SELECT 1")
		mustExec(t, db.URL(), "SELECT 1")

		o.Port++
		if _, err := Start(t.Context(), o); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("without port %d", o.Port)) {
			t.Errorf("join with another port: %v", err)
		}
		mustExec(t, db.URL(), "SELECT 1") // the failed one left the owner alone
		return
	}
}

func TestStopWithEndedContext(t *testing.T) {
	t.Parallel()
	db := mustStart(t, quick(newHome(t)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if err := execSQL(t, db.URL(), "SELECT 1"); err == nil {
		t.Error("the server still answers")
	}
}

func TestStartWithEndedContext(t *testing.T) {
	t.Parallel()
	dir := newHome(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Start(ctx, quick(dir)); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	mustStart(t, quick(dir)) // nothing is in the way
}

func TestBadOptions(t *testing.T) {
	t.Parallel()
	pgdata := openTemp(t)
	if err := os.WriteFile(filepath.Join(pgdata, "PG_VERSION"), []byte("15\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		o    Options
		want string
	}{
		"port":              {Options{DataDir: openTemp(t), Port: 70000}, "port 70000"},
		"no binaries there": {Options{DataDir: openTemp(t), BinDir: t.TempDir()}, "no postgres in it"},
		"somebody's PGDATA": {Options{DataDir: pgdata}, "is a Postgres data directory itself"},
	} {
		if _, err := Start(t.Context(), test.o); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

func TestDiscard(t *testing.T) {
	t.Parallel()
	dir := newHome(t)
	db := mustStart(t, quick(dir))
	if err := Discard(t.Context(), dir); !errors.Is(err, ErrJoined) {
		t.Fatalf("discard of a directory in use: %v", err)
	}
	mustExec(t, db.URL(), "SELECT 1")
	mustStop(t, db)
	if err := Discard(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
	other := openTemp(t)
	if err := Discard(t.Context(), other); err == nil {
		t.Error("a directory that is not devdb's was discarded")
	}
	if _, err := os.Stat(other); err != nil {
		t.Error(err)
	}
}

func TestReuseInitdb(t *testing.T) {
	t.Parallel()
	cache := openTemp(t)
	var out syncBuffer
	for _, made := range []int{1, 1} {
		o := quick(newHome(t))
		o.CacheDir, o.Output = cache, &out
		db := mustStart(t, o)
		mustExec(t, db.URL(), "CREATE TABLE mine ()") // nothing of the first one is in the second
		if n := strings.Count(out.String(), "Making"); n != made {
			t.Errorf("initdb ran %d times, want %d: %s", n, made, &out)
		}
	}
}
