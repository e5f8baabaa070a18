package devdb

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	socketPrefix = "trunkline-pg-"
	// maxSocketPath is the shortest limit on a socket's path: 104 bytes on macOS
	// (108 on Linux), with the final zero.
	maxSocketPath = 103
)

// openSocketDir returns an empty directory of mode 0700 for the socket.
// It takes the place that the last owner used, so that processes that joined it
// find the new server under the URL they have, and no directory of a killed run
// is left behind. Where that is not possible it makes a fresh one.
func openSocketDir(last string, acct account) (string, error) {
	if last != "" {
		if err := remakeSocketDir(last, acct); err == nil {
			return last, nil
		}
	}
	dir, err := os.MkdirTemp(socketParent(acct), socketPrefix)
	if err != nil {
		return "", fmt.Errorf("devdb: make a directory for the socket: %w", err)
	}
	return dir, chownSocketDir(dir, acct)
}

// remakeSocketDir empties the directory, or makes it when it is gone.
func remakeSocketDir(dir string, acct account) error {
	if err := removeSocketDir(dir, acct); err != nil {
		return err
	}
	// Mkdir fails when somebody else has made it meanwhile.
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("devdb: %w", err)
	}
	return chownSocketDir(dir, acct)
}

func chownSocketDir(dir string, acct account) error {
	if err := acct.own(dir); err != nil {
		return fmt.Errorf("devdb: %w", errors.Join(err, os.Remove(dir)))
	}
	return nil
}

// socketParent is the temporary directory, or /tmp where that is too long for a
// socket or closed to the account.
func socketParent(acct account) string {
	dir := os.TempDir()
	longest := filepath.Join(dir, socketPrefix+"4294967295", ".s.PGSQL.65535.lock")
	if len(longest) > maxSocketPath || acct.reach(dir) != nil {
		return "/tmp"
	}
	return dir
}

// removeSocketDir removes a socket directory of ours. It refuses anything else
// that a damaged lock file may name.
func removeSocketDir(dir string, acct account) error {
	if !filepath.IsAbs(dir) || !strings.HasPrefix(filepath.Base(dir), socketPrefix) {
		return fmt.Errorf("devdb: %s is no socket directory", dir)
	}
	info, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("devdb: %w", err)
	}
	if !info.IsDir() || !acct.ownedBy(info) {
		return fmt.Errorf("devdb: %s is not ours", dir)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("devdb: %w", err)
	}
	return nil
}
