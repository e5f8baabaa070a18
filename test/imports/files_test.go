package imports

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	repository = "../.." // from this package's directory, where go test runs
	maxLines   = 500
)

// vague names say nothing about what a file holds.
var vague = []string{"util", "utils", "common", "helper", "helpers", "types", "manager", "misc"}

func TestFilesAreShortAndNamedAfterWhatTheyHold(t *testing.T) {
	t.Parallel()
	seen := 0
	err := filepath.WalkDir(repository, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path != repository && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "bin" || name == "testdata") {
				return filepath.SkipDir
			}
			if isVague(name) {
				t.Errorf("%s: the name says nothing", path)
			}
			return nil
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		seen++
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if lines := bytes.Count(content, []byte("\n")); lines > maxLines && !bytes.Contains(content, []byte("DO NOT EDIT.\n")) {
			t.Errorf("%s has %d lines, more than %d: split it by what it holds", path, lines, maxLines)
		}
		if isVague(strings.TrimSuffix(strings.TrimSuffix(name, ".go"), "_test")) {
			t.Errorf("%s: the name says nothing", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 50 {
		t.Fatalf("only %d Go files found", seen)
	}
}

// isVague goes by the words of a name: conn_helpers is no better than helpers.
func isVague(name string) bool {
	return slices.ContainsFunc(strings.Split(strings.ToLower(name), "_"), func(word string) bool {
		return slices.Contains(vague, word)
	})
}

func TestIsVague(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"util": true, "Helpers": true, "conn_types": true, "common": true,
		"token": false, "term_encode": false, "prototypes": false,
	} {
		if isVague(name) != want {
			t.Errorf("isVague(%q) is %v", name, !want)
		}
	}
}
