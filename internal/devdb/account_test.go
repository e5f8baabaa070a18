//go:build unix

package devdb

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestOrdinaryUser runs the whole life as nobody when these tests run as root;
// otherwise all the other tests do so as the user who runs them.
func TestOrdinaryUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		db := mustStart(t, quick(newHome(t)))
		mustExec(t, db.URL(), "SELECT 1")
		return
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(nobody.Uid)
	gid, _ := strconv.Atoi(nobody.Gid)

	// go test keeps the test binary where only root may read it.
	dir := openTemp(t)
	binary := filepath.Join(dir, "test")
	if err := copyFile(os.Args[0], binary); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(binary, 0o755); err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(dir, "own")
	if err := os.Mkdir(own, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(own, uid, gid); err != nil {
		t.Fatal(err)
	}
	asNobody := func(cmd *exec.Cmd) {
		cmd.Path, cmd.Dir = binary, own
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
		cmd.Env = append(cmd.Env, "HOME="+own, "XDG_DATA_HOME=", "XDG_CACHE_HOME=")
	}

	// No options: the data goes to nobody's home directory.
	first := startProgram(t, childOptions{}, asNobody)
	r := first.report()
	second := startProgram(t, childOptions{}, asNobody)
	if !second.report().Joined {
		t.Error("the second start did not join")
	}
	info, err := os.Stat("/proc/" + strconv.Itoa(r.PID))
	if err == nil && int(info.Sys().(*syscall.Stat_t).Uid) != uid {
		t.Error("Postgres does not run as nobody")
	}
	second.end()
	mustExec(t, r.URL, "CREATE TABLE kept AS SELECT 1 AS n") // root may use the socket
	first.kill()

	third := startProgram(t, childOptions{}, asNobody)
	r = third.report()
	mustExec(t, r.URL, "SELECT n FROM kept")
	third.end()
	if _, err := os.Stat(filepath.Join(own, ".local/share/trunkline/dev/data/PG_VERSION")); err != nil {
		if _, err := os.Stat(filepath.Join(own, "Library")); err != nil {
			t.Error("the data is not where the documentation says")
		}
	}
}

// TestUnreachable: root becomes another user, who must be able to get there.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	acct, err := postgresAccount()
	if err != nil {
		t.Fatal(err)
	}
	private := t.TempDir()
	if err := os.Chmod(private, 0o700); err != nil {
		t.Fatal(err)
	}
	o := quick(filepath.Join(private, "dev"))
	db, err := Start(t.Context(), o)
	if !acct.dropped {
		if err != nil {
			t.Fatal(err) // an ordinary user stays that user
		}
		mustStop(t, db)
		return
	}
	if err == nil {
		mustStop(t, db)
		t.Fatal("Postgres ran in a directory that it cannot enter")
	}
	if !strings.Contains(err.Error(), "may not enter") || !strings.Contains(err.Error(), acct.name) {
		t.Errorf("the error names neither the directory nor the user: %v", err)
	}
}

// TestRootKeepsItsDirectory: what root opens must not be replaceable by the user
// who runs Postgres.
func TestRootKeepsItsDirectory(t *testing.T) {
	t.Parallel()
	dir := newHome(t)
	db := mustStart(t, quick(dir))
	for path, mine := range map[string]bool{dir: true, db.home.lock(): true, db.home.log(): true, db.home.data(): !db.acct.dropped} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if owner := int(info.Sys().(*syscall.Stat_t).Uid); (owner == os.Geteuid()) != mine {
			t.Errorf("%s belongs to user %d", path, owner)
		}
	}
	if info, err := os.Stat("/proc/" + strconv.Itoa(db.PID())); err == nil {
		if uid := int(info.Sys().(*syscall.Stat_t).Uid); uid != db.acct.uid {
			t.Errorf("Postgres runs as user %d, not %d", uid, db.acct.uid)
		}
	}

	// A link in place of the lock is refused.
	trap := newHome(t)
	if err := os.MkdirAll(trap, 0o755); err != nil {
		t.Fatal(err)
	}
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, home(trap).lock()); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), quick(trap)); err == nil {
		t.Error("it followed the link")
	}
	if text, _ := os.ReadFile(victim); string(text) != "precious" {
		t.Errorf("the file became %q", text)
	}
	if err := os.Remove(home(trap).lock()); err != nil { // newHome's cleanup would refuse it, too
		t.Error(err)
	}
}

// TestForeignSocketDirectory: a path in the lock file that is not ours any more
// is left alone.
func TestForeignSocketDirectory(t *testing.T) {
	t.Parallel()
	dir := newHome(t)
	mustStop(t, mustStart(t, quick(dir)))

	squatted := filepath.Join(openTemp(t), socketPrefix+"1")
	if err := os.Mkdir(squatted, 0o777); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(squatted, 12345, 12345); err != nil {
			t.Fatal(err)
		}
	}
	for _, last := range []string{squatted, "/etc", "relative", "/nonexistent/" + socketPrefix + "2"} {
		if last == squatted && os.Geteuid() != 0 {
			continue // it is ours, and may be reused
		}
		lock, err := openLock(home(dir).lock())
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(lock.write(state{SocketDir: last}), lock.close()); err != nil {
			t.Fatal(err)
		}
		db := mustStart(t, quick(dir))
		if db.socketDir == last {
			t.Errorf("the socket is in %s", last)
		}
		mustStop(t, db)
	}
	if _, err := os.Stat(squatted); err != nil {
		t.Error(err)
	}
}

// TestLongTemporaryDirectory: a socket's path must fit in about 100 bytes.
func TestLongTemporaryDirectory(t *testing.T) {
	long := filepath.Join(openTemp(t), strings.Repeat("x", 90))
	if err := os.Mkdir(long, 0o755); err != nil {
		t.Fatal(err)
	}
	o := quick(newHome(t))
	t.Setenv("TMPDIR", long)
	db := mustStart(t, o)
	if filepath.Dir(db.socketDir) != "/tmp" {
		t.Errorf("the socket is in %s", db.socketDir)
	}
	mustExec(t, db.URL(), "SELECT 1")
}
