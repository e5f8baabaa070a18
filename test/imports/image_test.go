package imports

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// The image is built from what .dockerignore lets through: all that the program
// depends on must be.
func TestTheImageHasWhatTheProgramNeeds(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	let := strings.Split(string(text), "\n")
	packages := list(t)
	i := slices.IndexFunc(packages, func(p listed) bool { return p.name() == "cmd/server" })
	if i < 0 {
		t.Fatal("go list does not find cmd/server")
	}
	for _, dep := range packages[i].Deps {
		below, ours := strings.CutPrefix(dep, module+"/")
		if top, _, _ := strings.Cut(below, "/"); ours && !slices.Contains(let, "!"+top) {
			t.Errorf(".dockerignore has no line !%s, which cmd/server needs for %s", top, dep)
		}
	}
}
