package devdb

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// lockFile is the lock of one data directory. The kernel frees it when its
// holder ends, however it ends. Its text is the holder's state.
type lockFile struct{ f *os.File }

// state is what the owner tells those who join.
type state struct {
	Owner     int    `json:"owner"` // process id of the program, not of Postgres
	Ready     bool   `json:"ready"`
	SocketDir string `json:"socket_dir"`
	Port      int    `json:"port"`
}

func openLock(path string) (*lockFile, error) {
	f, err := openNoFollow(path, os.O_RDWR)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("devdb: %s belongs to another user: stop that user's server or choose another data directory: %w", path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("devdb: %w", err)
	}
	return &lockFile{f}, nil
}

// try takes the lock when it is free.
func (l *lockFile) try() (bool, error) { return tryFlock(l.f) }

// close frees the lock.
func (l *lockFile) close() error { return l.f.Close() }

// read returns the state written last. It may be that of a dead owner, and while
// an owner writes it is an error.
func (l *lockFile) read() (state, error) {
	raw, err := io.ReadAll(io.NewSectionReader(l.f, 0, 64<<10))
	if err != nil {
		return state{}, fmt.Errorf("devdb: %w", err)
	}
	var s state
	if err := json.Unmarshal(raw, &s); err != nil {
		return state{}, fmt.Errorf("devdb: %s: %w", l.f.Name(), err)
	}
	return s, nil
}

// write replaces the state. Only the holder of the lock calls it.
func (l *lockFile) write(s state) error {
	raw, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("devdb: %w", err)
	}
	if err := l.f.Truncate(0); err != nil {
		return fmt.Errorf("devdb: %w", err)
	}
	if _, err := l.f.WriteAt(raw, 0); err != nil {
		return fmt.Errorf("devdb: %w", err)
	}
	return nil
}
