package devdb

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// initData makes the data directory when there is none. It works in data.tmp and
// renames at the end: what a killed run left there is made anew.
func (db *DB) initData(ctx context.Context, bin binaries) error {
	if major, err := db.home.version(); err != nil || major != 0 {
		return err
	}
	data, half := db.home.data(), db.home.half()
	// Remove takes an empty directory away and refuses any other.
	if err := os.Remove(data); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("devdb: %s exists but is no Postgres data directory; it is left alone, move it away: %w", data, err)
	}
	if err := os.RemoveAll(half); err != nil {
		return fmt.Errorf("devdb: remove what a killed initdb left: %w", err)
	}
	if err := db.fillData(ctx, bin, half); err != nil {
		return err
	}
	if err := os.Rename(half, data); err != nil {
		return fmt.Errorf("devdb: %w", err)
	}
	return nil
}

// fillData runs initdb into dir, or copies an earlier result of it.
func (db *DB) fillData(ctx context.Context, bin binaries, dir string) error {
	if !db.opts.ReuseInitdb || db.opts.CacheDir == "" {
		return db.runInitdb(ctx, bin, dir)
	}
	flags := sha256.Sum256([]byte(strings.Join(initdbFlags(), " ")))
	cached := filepath.Join(db.opts.CacheDir, fmt.Sprintf("initdb-%s-%x", bin.version, flags[:4]))
	if _, err := os.Stat(cached); err == nil {
		return copyTree(cached, dir, db.acct.own)
	}
	if err := db.runInitdb(ctx, bin, dir); err != nil {
		return err
	}
	return keepCopy(dir, cached)
}

func (db *DB) runInitdb(ctx context.Context, bin binaries, dir string) error {
	started := time.Now()
	fmt.Fprintf(db.opts.Output, "Making a development database in %s with Postgres %s.\n", db.home, bin.version)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("devdb: %w", err)
	}
	if err := db.acct.own(dir); err != nil {
		return fmt.Errorf("devdb: give %s to the user that runs Postgres: %w", dir, err)
	}
	args := append([]string{"-D", dir}, initdbFlags()...)
	if db.opts.Settings["fsync"] == "off" {
		args = append(args, "--no-sync")
	}
	cmd := db.acct.command(filepath.Join(bin.dir, "initdb"), args...)
	cmd.Dir = dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 2 * time.Second
	// An initdb that outlives us keeps the lock, so the next start waits for it.
	cmd.ExtraFiles = []*os.File{db.lock.f}
	if err := runChild(ctx, cmd); err != nil {
		return fmt.Errorf("devdb: initdb: %w\n%s", err, strings.TrimSpace(out.String()))
	}
	db.opts.Logger.Info("made the data directory", "dir", db.home.data(), "version", bin.version, "took", time.Since(started))
	return nil
}

func initdbFlags() []string {
	return []string{"--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-instructions"}
}

// keepCopy puts a copy of a fresh data directory at cached, whole or not at all.
func keepCopy(dir, cached string) error {
	if err := makeDir(filepath.Dir(cached), 0o755); err != nil {
		return fmt.Errorf("devdb: %w", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(cached), "copy-")
	if err != nil {
		return fmt.Errorf("devdb: %w", err)
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	whole := filepath.Join(tmp, "data")
	if err := copyTree(dir, whole, func(string) error { return nil }); err != nil {
		return err
	}
	// Another process may have been faster: its copy is as good.
	if err := os.Rename(whole, cached); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("devdb: %w", err)
	}
	return nil
}

// copyTree copies directories and plain files and refuses anything else.
func copyTree(from, to string, own func(string) error) error {
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case d.IsDir():
			err = os.Mkdir(target, 0o700)
		case d.Type().IsRegular():
			err = copyFile(path, target)
		default:
			err = fmt.Errorf("%s is neither a file nor a directory", path)
		}
		if err != nil {
			return err
		}
		return own(target)
	})
	if err != nil {
		return fmt.Errorf("devdb: copy %s: %w", from, err)
	}
	return nil
}

func copyFile(from, to string) (err error) {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	_, err = io.Copy(dst, src)
	return err
}
