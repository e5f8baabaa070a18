package imports

import (
	"fmt"
	"slices"
	"strings"
)

const module = "github.com/trunkline/trunkline"

// root is package trunkline, the public API.
const root = "."

// layers names every package of the server, and those of ours that it may
// import, in other files than tests. Imports look down only:
//
//	cmd, examples -> root -> engine and services -> wire, sock, dbsqlc, textarray, token, worker
//
// internal/devdb, internal/heapfloor, internal/pgtest and db/migrations are leaves beside them.
var layers = map[string][]string{
	"cmd/server":            {root, "db/migrations", "examples/chat", "internal/devdb", "internal/heapfloor", "internal/token", "jobsui"},
	"examples/chat":         {root},
	"examples/conformance":  {root, "internal/devdb"},
	"examples/embed":        {root},
	"examples/jobs":         {root},
	"examples/presence-sse": {root, "internal/devdb"},

	"jobsui": {root},

	"bench":        {"bench/floor", "bench/load", "bench/stats", "test/harness"},
	"bench/floor":  {},
	"bench/load":   {"bench/stats"},
	"bench/server": {root, "internal/heapfloor"},
	"bench/stats":  {},

	root: {
		"db/migrations", "internal/history", "internal/jobs", "internal/jobs/webhook", "internal/presence", "internal/presence/departures", "internal/presence/sqlview",
		"internal/pubsub", "internal/realtime", "internal/sock", "internal/token",
	},

	"internal/realtime": {"internal/sock", "internal/token", "internal/wire", "internal/worker"},
	"internal/pubsub":   services,
	"internal/history":  services,
	"internal/presence": services,
	"internal/jobs":     slices.Concat([]string{"internal/jobs/webhook"}, services),

	"internal/jobs/webhook":        {},
	"internal/presence/departures": {"internal/dbsqlc", "internal/presence"},
	"internal/presence/sqlview":    {"internal/dbsqlc", "internal/presence"},

	"internal/wire":      {},
	"internal/sock":      {"internal/worker"},
	"internal/token":     {},
	"internal/dbsqlc":    {},
	"internal/textarray": {},
	"internal/worker":    {},

	"db/migrations":      {"internal/dbsqlc"},
	"internal/devdb":     {},
	"internal/heapfloor": {},
	"internal/pgtest":    {"db/migrations", "internal/devdb"},
}

// services know the database and the formats, but not each other.
var services = []string{"internal/dbsqlc", "internal/textarray", "internal/token", "internal/wire"}

// outside holds what drives the server from outside, as clients do: its
// packages may import each other and the test leaves, and need no line.
const outside = "test/"

// testLeaves may be imported by any package's tests.
var testLeaves = []string{"db/migrations", "internal/devdb", "internal/pgtest"}

// strangers names what a package may not depend on, not even through another.
var strangers = map[string][]string{
	// It meets the database through interfaces that it declares.
	"internal/realtime": {"database/sql", "github.com/jackc/pgx", "github.com/riverqueue/river"},
	"internal/wire":     {"database/sql", "github.com/jackc/pgx", "net/http"},
	"internal/sock":     {"database/sql", "github.com/jackc/pgx"},
	"internal/token":    {"database/sql", "github.com/jackc/pgx"},
}

// listed is what `go list -json` says about a package.
type listed struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Deps         []string
}

// name is the path below the module, "." for its root.
func (p listed) name() string { return below(p.ImportPath) }

func below(path string) string {
	if path == module {
		return root
	}
	return strings.TrimPrefix(path, module+"/")
}

func ours(path string) bool { return path == module || strings.HasPrefix(path, module+"/") }

// violations are sentences, one for each import that layers and strangers
// forbid.
func violations(packages []listed) []string {
	var found []string
	for _, p := range packages {
		name := p.name()
		allowed, known := layers[name]
		if strings.HasPrefix(name, outside) {
			allowed, known = testLeaves, true
		}
		if !known {
			found = append(found, fmt.Sprintf("%s has no place in the layers: give it a line in layers.go", name))
			continue
		}
		found = append(found, forbidden(name, p.Imports, allowed)...)
		inTests := slices.Concat(allowed, testLeaves, []string{name})
		found = append(found, forbidden(name+" (tests)", p.TestImports, inTests)...)
		found = append(found, forbidden(name+" (tests)", p.XTestImports, inTests)...)
		for _, stranger := range strangers[name] {
			for _, dep := range p.Deps {
				if dep == stranger || strings.HasPrefix(dep, stranger+"/") {
					found = append(found, fmt.Sprintf("%s depends on %s", name, dep))
				}
			}
		}
	}
	return found
}

func forbidden(name string, imports, allowed []string) []string {
	var found []string
	for _, path := range imports {
		both := strings.HasPrefix(name, outside) && strings.HasPrefix(below(path), outside)
		if ours(path) && !both && !slices.Contains(allowed, below(path)) {
			found = append(found, fmt.Sprintf("%s imports %s", name, below(path)))
		}
	}
	return found
}
