//go:build unix

package devdb

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestTwoStartersOnAnEmptyDirectory(t *testing.T) {
	t.Parallel()
	o := childOptions{DataDir: newHome(t)} // a real initdb takes its time
	a, b := startProgram(t, o, nil), startProgram(t, o, nil)
	ra, rb := a.report(), b.report()
	if ra.Joined == rb.Joined {
		t.Errorf("joined: %v and %v, want one owner and one who joined", ra.Joined, rb.Joined)
	}
	if ra.URL != rb.URL || ra.PID != rb.PID {
		t.Errorf("they do not use the same server: %+v, %+v", ra, rb)
	}
	mustExec(t, ra.URL, "CREATE TABLE seen AS SELECT 1 AS n")
	mustExec(t, rb.URL, "SELECT n FROM seen")
	if ra.Joined {
		a, b = b, a
	}
	a.end() // the owner; the other takes over
	eventually(t, "take over", func() bool { return execSQL(t, ra.URL, "SELECT n FROM seen") == nil })
	b.end()
	if err := execSQL(t, ra.URL, "SELECT 1"); err == nil {
		t.Error("Postgres outlived both")
	}
}

func TestOwnerKilled(t *testing.T) {
	t.Parallel()
	dir := newHome(t)
	p := startProgram(t, childOptions{DataDir: dir, ReuseInitdb: true}, nil)
	r := p.report()
	mustExec(t, r.URL, "CREATE TABLE kept AS SELECT 1 AS n")
	left := socketDirOf(t, dir)
	p.kill()

	db := mustStart(t, quick(dir))
	if db.Joined() || db.PID() == r.PID {
		t.Errorf("joined %v, process %d: the orphan was not replaced", db.Joined(), db.PID())
	}
	mustExec(t, db.URL(), "SELECT n FROM kept")
	mustStop(t, db)
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("the socket directory of the killed run is still there: %v", err)
	}
}

func TestOwnerKilledWhileAnotherUsesIt(t *testing.T) {
	t.Parallel()
	dir := newHome(t)
	p := startProgram(t, childOptions{DataDir: dir, ReuseInitdb: true}, nil)
	r := p.report()
	db := mustStart(t, quick(dir))
	if !db.Joined() {
		t.Fatal("it did not join")
	}
	mustExec(t, db.URL(), "CREATE TABLE kept AS SELECT 1 AS n")
	p.kill()
	eventually(t, "take over", func() bool { return !db.Joined() && db.PID() != 0 })
	eventually(t, "answer again", func() bool { return execSQL(t, r.URL, "SELECT n FROM kept") == nil })
}

func TestPostmasterKilled(t *testing.T) {
	t.Parallel()
	db := mustStart(t, quick(newHome(t)))
	mustExec(t, db.URL(), "CREATE TABLE kept AS SELECT 1 AS n")
	for range 2 {
		pid := db.PID()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "restart", func() bool { now := db.PID(); return now != 0 && now != pid })
		mustExec(t, db.URL(), "SELECT n FROM kept")
	}
	select {
	case <-db.Done():
		t.Error("it gave up:", db.Err())
	default:
	}
}

func TestGivesUpInTheEnd(t *testing.T) {
	t.Parallel()
	dir := newHome(t)
	o := quick(dir)
	o.Logger = nil
	db := mustStart(t, o)
	control := filepath.Join(dir, "data", "global", "pg_control")
	if err := os.Remove(control); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(db.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-db.Done()
	if err := db.Err(); err == nil || !strings.Contains(err.Error(), "pg_control") || !strings.Contains(err.Error(), "stays down") {
		t.Errorf("the reason is missing: %v", err)
	}
}

func TestOrphanIsStopped(t *testing.T) {
	t.Parallel()
	dir := newHome(t)
	db := mustStart(t, quick(dir))
	mustStop(t, db)

	// As after kill -9 of its owner where there is no parent death signal.
	sockets := openTemp(t)
	if err := db.acct.own(sockets); err != nil {
		t.Fatal(err)
	}
	orphan := exec.Command(filepath.Join(db.bin.dir, "postgres"), "-D", db.home.data(), "-c", "listen_addresses=", "-c", "unix_socket_directories="+sockets)
	orphan.Dir = db.home.data()
	asAccount(orphan, db.acct)
	if err := orphan.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- orphan.Wait() }()
	eventually(t, "the orphan is up", func() bool {
		got, err := readPostmasterPID(db.home.data())
		return err == nil && got.ready && got.pid == orphan.Process.Pid
	})

	again := mustStart(t, quick(dir))
	if err := <-ended; err != nil {
		t.Errorf("the orphan did not stop in order: %v", err)
	}
	if again.PID() == orphan.Process.Pid {
		t.Error("it uses the orphan")
	}
	mustExec(t, again.URL(), "SELECT 1")
}

func TestStalePidFileOfALiveProcess(t *testing.T) {
	t.Parallel()
	dir := newHome(t)
	db := mustStart(t, quick(dir))
	mustStop(t, db)

	// Postgres refuses to start only for a process of its own user.
	foreign := exec.Command("sleep", "300")
	foreign.Dir = "/"
	asAccount(foreign, db.acct)
	if err := foreign.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = foreign.Process.Kill()
		_ = foreign.Wait() // says that it was killed
	}()
	file := strconv.Itoa(foreign.Process.Pid) + "\n" + db.home.data() + "\n1700000000\n5432\n/tmp\n\n       1         1\nready   \n"
	if err := os.WriteFile(pidPath(db.home.data()), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := db.acct.own(pidPath(db.home.data())); err != nil {
		t.Fatal(err)
	}

	again := mustStart(t, quick(dir))
	mustExec(t, again.URL(), "SELECT 1")
	if !alive(foreign.Process.Pid) {
		t.Error("the foreign process was killed")
	}
}

func TestHalfMadeData(t *testing.T) {
	t.Parallel()
	dir := newHome(t)
	if err := os.MkdirAll(filepath.Join(dir, "data.tmp", "base"), 0o755); err != nil {
		t.Fatal(err)
	}
	db := mustStart(t, quick(dir))
	mustExec(t, db.URL(), "SELECT 1")
	if _, err := os.Stat(filepath.Join(dir, "data.tmp")); !os.IsNotExist(err) {
		t.Errorf("data.tmp: %v", err)
	}
}

func TestKilledDuringInitdb(t *testing.T) {
	t.Parallel()
	dir := newHome(t)
	p := startProgram(t, childOptions{DataDir: dir}, nil)
	eventually(t, "initdb is under way", func() bool {
		_, err := os.Stat(filepath.Join(dir, "data.tmp", "PG_VERSION"))
		_, made := os.Stat(filepath.Join(dir, "data"))
		return err == nil || made == nil
	})
	p.kill()
	db := mustStart(t, quick(dir))
	mustExec(t, db.URL(), "SELECT 1")
}

func TestDataIsNeverDeleted(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		file, text string
		want       []string
	}{
		"another major":  {"PG_VERSION", "99\n", []string{"made by Postgres 99", "only Postgres", "mv "}},
		"old version":    {"PG_VERSION", "9.6\n", []string{`"9.6"`}},
		"not Postgres's": {"diary.txt", "dear diary", []string{"no Postgres data directory", "left alone"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := newHome(t)
			file := filepath.Join(dir, "data", test.file)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(test.text), 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := Start(t.Context(), quick(dir))
			for _, want := range test.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q in it", err, want)
				}
			}
			if text, err := os.ReadFile(file); err != nil || string(text) != test.text {
				t.Errorf("the file became %q, %v", text, err)
			}
		})
	}
}

// asAccount makes the command run as the user that runs Postgres.
func asAccount(cmd *exec.Cmd, acct account) {
	if acct.dropped {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(acct.uid), Gid: uint32(acct.gid)}}
	}
}
