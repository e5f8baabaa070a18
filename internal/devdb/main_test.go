//go:build unix

package devdb

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
)

// limit bounds every wait of these tests; the machine may be busy.
const limit = 90 * time.Second

const childEnvVar = "DEVDB_TEST_CHILD"

func TestMain(m *testing.M) {
	if spec := os.Getenv(childEnvVar); spec != "" {
		childMain(spec)
		return
	}
	goleak.VerifyTestMain(m)
}

// newHome returns a data directory that the postgres user can reach, emptied at
// the end of the test.
func newHome(t *testing.T) string {
	t.Helper()
	dir := openTemp(t)
	t.Cleanup(func() {
		if _, err := os.Stat(home(dir + "/dev").lock()); err != nil {
			return
		}
		if err := Discard(t.Context(), dir+"/dev"); err != nil && t.Context().Err() == nil {
			t.Errorf("discard: %v", err)
		}
	})
	return dir + "/dev"
}

// openTemp is a temporary directory that every user may enter.
func openTemp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "devdb-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // where temporary files may stay
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func quick(dir string) Options {
	return Options{
		DataDir:     dir,
		ReuseInitdb: true,
		Output:      io.Discard,
		Logger:      slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
		Settings:    map[string]string{"fsync": "off"},
	}
}

func mustStart(t *testing.T, o Options) *DB {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	db, err := Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mustStop(t, db) })
	return db
}

func mustStop(t *testing.T, db *DB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := db.Stop(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// execSQL runs a statement on a fresh connection.
func execSQL(t *testing.T, url, sql string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, sql)
	return err
}

func mustExec(t *testing.T, url, sql string) {
	t.Helper()
	if err := execSQL(t, url, sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// eventually polls the outside world (a process, a socket), which sends no event.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, limit)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// socketDirOf returns the socket directory that the lock file names.
func socketDirOf(t *testing.T, dir string) string {
	t.Helper()
	lock, err := openLock(home(dir).lock())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.close() }() // it was only read
	at, err := lock.read()
	if err != nil {
		t.Fatal(err)
	}
	return at.SocketDir
}

// childSpec is what another process of this test binary shall do.
type childSpec struct {
	Options childOptions
}

type childOptions struct {
	DataDir     string
	ReuseInitdb bool
}

// childReport is its answer once the database is up.
type childReport struct {
	Err    string
	URL    string
	Joined bool
	PID    int
}

// childMain starts a database, reports it, and stops it when stdin ends.
func childMain(raw string) {
	var spec childSpec
	if err := json.Unmarshal([]byte(raw), &spec); err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	db, err := Start(ctx, Options{
		DataDir: spec.Options.DataDir, ReuseInitdb: spec.Options.ReuseInitdb,
		Settings: map[string]string{"fsync": "off"},
	})
	if err != nil {
		_ = json.NewEncoder(os.Stdout).Encode(childReport{Err: err.Error()}) // it fails either way
		os.Exit(1)
	}
	// A parent that is gone reads nothing, and its end of stdin is closed.
	_ = json.NewEncoder(os.Stdout).Encode(childReport{URL: db.URL(), Joined: db.Joined(), PID: db.PID()})
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := db.Stop(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// program is another process of this test binary that runs childMain.
type program struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.Closer
	stdout io.Reader
	stderr *syncBuffer
	once   sync.Once
	err    error
}

func startProgram(t *testing.T, o childOptions, as func(*exec.Cmd)) *program {
	t.Helper()
	spec, err := json.Marshal(childSpec{o})
	if err != nil {
		t.Fatal(err)
	}
	p := &program{t: t, cmd: exec.Command(os.Args[0]), stderr: &syncBuffer{}}
	p.cmd.Env = append(os.Environ(), childEnvVar+"="+string(spec))
	p.cmd.Stderr = p.stderr
	if as != nil {
		as(p.cmd)
	}
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if p.stdout, err = p.cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.kill() })
	return p
}

// report waits for the program's answer.
func (p *program) report() childReport {
	p.t.Helper()
	var r childReport
	if err := json.NewDecoder(p.stdout).Decode(&r); err != nil {
		p.t.Fatalf("the other process reported nothing: %v\n%s", err, p.stderr)
	}
	if r.Err != "" {
		p.t.Fatalf("the other process: %s", r.Err)
	}
	return r
}

// end lets the program stop its database and finish.
func (p *program) end() {
	p.t.Helper()
	p.stdin.Close()
	if err := p.wait(); err != nil {
		p.t.Errorf("the other process: %v\n%s", err, p.stderr)
	}
}

func (p *program) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL) // it may have ended
	_ = p.wait()
}

func (p *program) wait() error {
	p.once.Do(func() { p.err = p.cmd.Wait() })
	return p.err
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
