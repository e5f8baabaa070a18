package devdb

import (
	"syscall"
	"testing"
)

// TestPostgresEndsWithItsOwner: the parent death signal works, also over the
// change of user.
func TestPostgresEndsWithItsOwner(t *testing.T) {
	t.Parallel()
	dir := newHome(t)
	p := startProgram(t, childOptions{DataDir: dir, ReuseInitdb: true}, nil)
	r := p.report()
	if !servesData(t.Context(), r.PID, home(dir).data()) {
		t.Fatalf("process %d is not the server", r.PID)
	}
	p.kill()
	eventually(t, "Postgres ends", func() bool { return !servesData(t.Context(), r.PID, home(dir).data()) })
}

// TestCtrlC: Postgres is in a process group of its own, so that Ctrl-C in a
// terminal reaches only us.
func TestCtrlC(t *testing.T) {
	t.Parallel()
	db := mustStart(t, quick(newHome(t)))
	if group, err := syscall.Getpgid(db.PID()); err != nil || group != db.PID() {
		t.Errorf("process group %d, %v; want %d", group, err, db.PID())
	}
}
