package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trunkline/trunkline/internal/pgtest"
	"github.com/trunkline/trunkline/test/harness"
)

// A program is the package of a server to run.
type program string

const (
	// conformance has sockets without tokens, and channels that broadcast
	// whatever they are sent.
	conformance program = "examples/conformance"
	// server is the program that is deployed.
	server program = "cmd/server"
)

const (
	repository = "../.." // from this package's directory, where go test runs

	// patience is how long to wait for what has no limit of its own.
	patience = 30 * time.Second
)

func (p program) path() string {
	return filepath.Join(repository, "bin", "test", filepath.Base(string(p)))
}

func TestMain(m *testing.M) {
	err := errors.Join(readSources(), build(conformance), build(server))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	pgtest.Main(m)
}

// readSources reads the directories that the programs are built from. They are
// no imports of this package, and go test takes an old result for good unless it
// sees that the test has looked there.
func readSources() error {
	return filepath.WalkDir(repository, func(path string, d fs.DirEntry, err error) error {
		hidden := strings.HasPrefix(d.Name(), ".") && path != repository
		if err == nil && d.IsDir() && (hidden || d.Name() == "bin" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		return err
	})
}

// build replaces the program by renaming, as another test run may be using it.
func build(p program) error {
	made := p.path() + "." + strconv.Itoa(os.Getpid())
	absolute, err := filepath.Abs(made)
	if err != nil {
		return err
	}
	if err := harness.Build(context.Background(), absolute, string(p), false); err != nil {
		return err
	}
	return os.Rename(made, p.path())
}
