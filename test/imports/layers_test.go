package imports

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestImportsLookDown(t *testing.T) {
	t.Parallel()
	packages := list(t)
	if len(packages) < 10 {
		t.Fatalf("go list found only %d packages", len(packages))
	}
	for _, v := range violations(packages) {
		t.Error(v)
	}
}

// The rules find what they are for.
func TestViolations(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		p    listed
		want string
	}{
		{listed{ImportPath: module + "/internal/wire", Imports: []string{module + "/internal/token"}}, "internal/wire imports internal/token"},
		{listed{ImportPath: module + "/internal/pubsub", Imports: []string{module}}, "internal/pubsub imports ."},
		{listed{ImportPath: module + "/internal/pubsub", Imports: []string{module + "/internal/realtime"}}, "internal/pubsub imports internal/realtime"},
		{listed{ImportPath: module + "/internal/sock", TestImports: []string{module + "/internal/wire"}}, "internal/sock (tests) imports internal/wire"},
		{listed{ImportPath: module + "/internal/realtime", XTestImports: []string{module}}, "internal/realtime (tests) imports ."},
		{listed{ImportPath: module + "/internal/realtime", Deps: []string{"github.com/jackc/pgx/v5"}}, "internal/realtime depends on github.com/jackc/pgx/v5"},
		{listed{ImportPath: module + "/internal/realtime", Deps: []string{"database/sql"}}, "internal/realtime depends on database/sql"},
		{listed{ImportPath: module + "/internal/new"}, "internal/new has no place in the layers: give it a line in layers.go"},
		{listed{ImportPath: module + "/test/golden", Imports: []string{module + "/internal/wire"}}, "test/golden imports internal/wire"},
		{listed{ImportPath: module + "/internal/wire", Imports: []string{module + "/test/golden"}}, "internal/wire imports test/golden"},
		{listed{ImportPath: module + "/test/new", Imports: []string{module + "/test/golden"}}, ""},
		{listed{ImportPath: module, Imports: []string{module + "/internal/pubsub"}}, ""},
		{listed{ImportPath: module + "/internal/pubsub", XTestImports: []string{module + "/internal/pgtest", module + "/internal/pubsub"}}, ""},
		{listed{ImportPath: module + "/internal/sock", Deps: []string{"database/sqlite"}}, ""},
	} {
		if got := strings.Join(violations([]listed{c.p}), "; "); got != c.want {
			t.Errorf("%+v: %q, want %q", c.p, got, c.want)
		}
	}
}

// A line of layers may not lead up or in a circle, or the table itself would
// allow what it is there to forbid.
func TestLayersHaveNoCircle(t *testing.T) {
	t.Parallel()
	var visit func(name string, above []string)
	visit = func(name string, above []string) {
		if slices.Contains(above, name) {
			t.Fatalf("circle: %v -> %s", above, name)
		}
		for _, below := range layers[name] {
			visit(below, append(slices.Clone(above), name))
		}
		if strings.HasPrefix(name, "internal/") && slices.Contains(layers[name], root) {
			t.Errorf("%s may import the root", name)
		}
	}
	for name := range layers {
		visit(name, nil)
	}
}

func list(t *testing.T) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,TestImports,XTestImports,Deps", "./...")
	cmd.Dir = repository
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	var packages []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		packages = append(packages, p)
	}
}
