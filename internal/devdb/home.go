package devdb

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// home is Options.DataDir with symbolic links resolved, so that the path equals
// the one in the arguments of a running server.
type home string

func (h home) data() string { return filepath.Join(string(h), "data") }
func (h home) half() string { return filepath.Join(string(h), "data.tmp") }
func (h home) lock() string { return filepath.Join(string(h), "lock") }
func (h home) log() string  { return filepath.Join(string(h), "postgres.log") }

// openHome makes the directory when it is missing and checks that the account
// can get there. Root keeps it for itself and lets the account in to data/ only.
func openHome(dir string, acct account) (home, error) {
	mode := fs.FileMode(0o700)
	if acct.dropped {
		mode = 0o755
	}
	if err := makeDir(dir, mode); err != nil {
		return "", fmt.Errorf("devdb: make the data directory: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "PG_VERSION")); err == nil {
		return "", fmt.Errorf("devdb: %s is a Postgres data directory itself: name a directory to keep one in", dir)
	}
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", fmt.Errorf("devdb: %w", err)
	}
	if err := acct.reach(dir); err != nil {
		return "", err
	}
	return home(dir), nil
}

// version returns the major version that made the data, 0 when there is none yet.
func (h home) version() (int, error) {
	raw, err := os.ReadFile(filepath.Join(h.data(), "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("devdb: %w", err)
	}
	text := strings.TrimSpace(string(raw))
	major, err := strconv.Atoi(text)
	if err != nil || major <= 0 {
		return 0, fmt.Errorf("devdb: %s/PG_VERSION says %q, which is no version this program knows", h.data(), text)
	}
	return major, nil
}

// makeDir makes the directory and its missing parents with exactly this mode. A
// umask of 077 would close them to the account that runs Postgres.
func makeDir(dir string, mode fs.FileMode) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	if parent := filepath.Dir(dir); parent != dir {
		if err := makeDir(parent, mode); err != nil {
			return err
		}
	}
	err := os.Mkdir(dir, mode)
	if errors.Is(err, fs.ErrExist) {
		return nil // another process makes it at the same time
	}
	if err != nil {
		return err
	}
	return os.Chmod(dir, mode)
}
