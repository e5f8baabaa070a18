package token

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
)

// fileKeys are the keys of a JWK set in a file. The file is looked at for every
// token, which costs about a microsecond, and read when it changed.
type fileKeys struct {
	path       string
	algorithms []string
	log        *slog.Logger

	mu   sync.Mutex
	set  *keySet     // the last good one
	seen os.FileInfo // of the version read last, good or not; nil while missing
}

func openFileKeys(cfg JWTConfig) (*fileKeys, error) {
	f := &fileKeys{path: cfg.JWKSFile, algorithms: cfg.Algorithms, log: cfg.Logger}
	set, info, err := f.read()
	if err != nil {
		return nil, fmt.Errorf("token: JWTConfig.JWKSFile: %w", err)
	}
	f.set, f.seen = set, info
	return f, nil
}

func (f *fileKeys) current() *keySet {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.path)
	if err != nil {
		if f.seen != nil {
			f.log.Warn("the JWK set file cannot be read; keeping the last keys", "error", err)
		}
		f.seen = nil
		return f.set
	}
	if sameVersion(f.seen, info) {
		return f.set
	}
	set, info, err := f.read()
	if info != nil {
		f.seen = info
	}
	if err != nil {
		f.log.Warn("the JWK set file is not usable; keeping the last keys", "error", err)
		return f.set
	}
	f.set = set
	return f.set
}

// refresh has nothing to do: current is never stale.
func (f *fileKeys) refresh(context.Context) {}

func (f *fileKeys) close() {}

// read returns the file's version even where its content is not usable.
func (f *fileKeys) read() (*keySet, os.FileInfo, error) {
	file, err := os.Open(f.path)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, nil, err
	}
	text, err := readLimited(file)
	if err != nil {
		return nil, info, fmt.Errorf("%s: %w", f.path, err)
	}
	set, err := parseJWKSet(text, f.algorithms)
	if err != nil {
		return nil, info, fmt.Errorf("%s: %w", f.path, err)
	}
	return set, info, nil
}

func sameVersion(a, b os.FileInfo) bool {
	return a != nil && os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// readLimited reads a JWK set of at most maxKeySetSize bytes.
func readLimited(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxKeySetSize+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxKeySetSize {
		return nil, fmt.Errorf("the JWK set has more than %d bytes", maxKeySetSize)
	}
	return text, nil
}
