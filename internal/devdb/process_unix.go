//go:build unix

package devdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// account is the user that Postgres runs as. The zero account is ourselves.
type account struct {
	name     string
	uid, gid int
	dropped  bool // we are root and become this user
}

// postgresAccount finds the user to run Postgres as: ourselves, or for root,
// whom Postgres refuses, postgres or nobody.
func postgresAccount() (account, error) {
	if uid := os.Geteuid(); uid != 0 {
		return account{uid: uid, gid: os.Getegid()}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseInt(u.Uid, 10, 64)
		gid, errGID := strconv.ParseInt(u.Gid, 10, 64)
		if errUID != nil || errGID != nil || uid == 0 {
			continue
		}
		return account{name: name, uid: int(uid), gid: int(gid), dropped: true}, nil
	}
	return account{}, errors.New("devdb: Postgres does not run as root, and this machine has neither a user postgres nor a user nobody to run it as")
}

// own makes the account the owner of path.
func (a account) own(path string) error {
	if !a.dropped {
		return nil
	}
	return os.Lchown(path, a.uid, a.gid)
}

// reach reports the first directory on the way to path that the account may not
// enter. A bare "permission denied" from a child would not name it.
func (a account) reach(path string) error {
	if !a.dropped {
		return nil
	}
	var ways []string
	for dir := path; ; dir = filepath.Dir(dir) {
		ways = append(ways, dir)
		if dir == filepath.Dir(dir) {
			break
		}
	}
	slices.Reverse(ways)
	for _, dir := range ways {
		info, err := os.Stat(dir)
		if err != nil {
			return fmt.Errorf("devdb: %w", err)
		}
		if !a.may(info, 1) {
			return fmt.Errorf("devdb: Postgres runs as user %s, which may not enter %s (mode %v): choose another directory than %s, or run as an ordinary user",
				a.name, dir, info.Mode().Perm(), path)
		}
	}
	return nil
}

// may reports whether the account has the permission bit (4 read, 2 write, 1 enter).
func (a account) may(info fs.FileInfo, bit fs.FileMode) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case ok && int(st.Uid) == a.uid:
		bit <<= 6
	case ok && int(st.Gid) == a.gid:
		bit <<= 3
	}
	return info.Mode().Perm()&bit != 0
}

// ownedBy reports whether the account owns the file.
func (a account) ownedBy(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == a.uid
}

// command prepares a child in its own process group, so that Ctrl-C reaches us
// first, with no PG* variable of ours in its environment.
func (a account) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env = childEnv()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if a.dropped {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	dieWithParent(cmd.SysProcAttr)
	return cmd
}

// killGroup ends the child and its children.
func killGroup(pid int) {
	// It may be gone already, which is what we want.
	_ = syscall.Kill(-pid, syscall.SIGKILL)
}

func signalProcess(pid int, sig syscall.Signal) error { return syscall.Kill(pid, sig) }

// alive reports whether a process of this number exists.
func alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// commandLine returns the arguments of a running process, nil when it is gone.
// Without /proc they come from ps and are split at spaces.
func commandLine(ctx context.Context, pid int) []string {
	if _, err := os.Stat("/proc/self/cmdline"); err == nil {
		raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
		if err != nil || len(raw) == 0 {
			return nil
		}
		return strings.Split(strings.TrimRight(string(raw), "\x00"), "\x00")
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ps", "-ww", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return nil
	}
	return strings.Fields(string(out))
}

// tryFlock takes the lock of the file when nobody else has it.
func tryFlock(f *os.File) (bool, error) {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, syscall.EWOULDBLOCK):
		return false, nil
	default:
		return false, fmt.Errorf("devdb: lock %s: %w", f.Name(), err)
	}
}

// openNoFollow opens or makes a file of mode 0600 and refuses a symbolic link.
func openNoFollow(path string, flags int) (*os.File, error) {
	return os.OpenFile(path, flags|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
}
