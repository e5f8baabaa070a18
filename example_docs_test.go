package trunkline_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/trunkline/trunkline"
)

// setting is a flag in the program's help.
type setting struct{ flag, env, value string }

var (
	// "--port=4000   Port to serve HTTP on ($PORT)." and the lines below it
	helpFlag = regexp.MustCompile(`(?m)^ {6}--([a-z-]+)(?:=(\S+))?`)
	helpEnv  = regexp.MustCompile(`\(\$([A-Z_]+)\)`)
	// "| `--port` | `PORT` | `4000` | HTTP port |"
	settingRow = regexp.MustCompile("(?m)^\\| `--([a-z-]+)` \\| `([A-Z_]+)` \\|([^|]*)\\|")
)

// The README's table has every flag of serve and dev, with its variable and its
// default, and no other.
func TestREADMEListsEverySetting(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "trunkline")
	output(t, "go", "build", "-o", binary, "./cmd/server")
	var settings []setting
	for _, command := range []string{"serve", "dev"} {
		settings = append(settings, parseHelp(output(t, binary, command, "--help"))...)
	}
	if len(settings) < 40 {
		t.Fatalf("only %d flags found in the help", len(settings))
	}

	rows := map[string]setting{}
	for _, row := range settingRow.FindAllStringSubmatch(file(t, "README.md"), -1) {
		rows[row[1]] = setting{flag: row[1], env: row[2], value: row[3]}
	}
	for _, s := range settings {
		row, ok := rows[s.flag]
		switch {
		case !ok:
			t.Errorf("README.md has no row for --%s", s.flag)
		case row.env != s.env:
			t.Errorf("README.md: --%s has the variable %s, want %s", s.flag, row.env, s.env)
		case s.value != "" && !strings.Contains(row.value, "`"+s.value+"`"):
			t.Errorf("README.md: the default of --%s is%s, want `%s`", s.flag, row.value, s.value)
		}
	}
	for flag := range rows {
		if !slices.ContainsFunc(settings, func(s setting) bool { return s.flag == flag }) {
			t.Errorf("README.md has a row for --%s, which does not exist", flag)
		}
	}
}

// parseHelp leaves value empty where the help has a placeholder such as STRING.
func parseHelp(help string) (settings []setting) {
	at := helpFlag.FindAllStringSubmatchIndex(help, -1)
	for i, m := range at {
		end := len(help)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		s := setting{flag: help[m[2]:m[3]]}
		if env := helpEnv.FindStringSubmatch(help[m[0]:end]); env != nil {
			s.env = env[1]
		}
		if m[4] >= 0 {
			s.value = strings.Trim(help[m[4]:m[5]], `"`)
		}
		if strings.ToUpper(s.value) == s.value && strings.ContainsAny(s.value, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
			s.value = ""
		}
		settings = append(settings, s)
	}
	return settings
}

// The README's Go example is the program of examples/embed, which is compiled.
func TestREADMEShowsTheEmbeddedServer(t *testing.T) {
	t.Parallel()
	if !strings.Contains(file(t, "README.md"), "```go\n"+file(t, "examples/embed/main.go")+"```\n") {
		t.Error("README.md does not show examples/embed/main.go as it is")
	}
}

// descriptions collects the metrics that are registered.
type descriptions struct{ names []string }

var metricName = regexp.MustCompile(`fqName: "([^"]+)"`)

func (d *descriptions) Register(c prometheus.Collector) error {
	ch := make(chan *prometheus.Desc, 10)
	go func() {
		defer close(ch)
		c.Describe(ch)
	}()
	for desc := range ch {
		d.names = append(d.names, metricName.FindStringSubmatch(desc.String())[1])
	}
	return nil
}

func (d *descriptions) MustRegister(collectors ...prometheus.Collector) {
	for _, c := range collectors {
		_ = d.Register(c) // never fails
	}
}

func (d *descriptions) Unregister(prometheus.Collector) bool { return false }

func TestOperationsListEveryMetric(t *testing.T) {
	t.Parallel()
	var d descriptions
	_, err := trunkline.New(trunkline.Config{
		DatabaseURL: "postgres://localhost/app", SecretKeyBase: strings.Repeat("s", 20), Registerer: &d,
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(d.names) < 20 {
		t.Fatalf("only %d metrics found", len(d.names))
	}
	operations := file(t, "docs/operations.md")
	for _, name := range d.names {
		if !strings.Contains(operations, "`"+name+"`") && !strings.Contains(operations, "`"+name+"{") {
			t.Errorf("docs/operations.md does not have the metric %s", name)
		}
	}
}

var markdownLink = regexp.MustCompile(`\]\(([^)#]+\.(?:md|go)|[a-z/]+)(?:#[a-z-]+)?\)`)

// What the documents link to exists.
func TestDocumentsLinkToFilesThatExist(t *testing.T) {
	t.Parallel()
	documents, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, document := range append(documents, "README.md") {
		for _, link := range markdownLink.FindAllStringSubmatch(file(t, document), -1) {
			checked++
			if _, err := os.Stat(filepath.Join(filepath.Dir(document), link[1])); err != nil {
				t.Errorf("%s: %v", document, err)
			}
		}
	}
	if checked < 15 {
		t.Fatalf("only %d links found", checked)
	}
}

func file(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}
