package trunkline_test

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/trunkline/trunkline"
	"github.com/trunkline/trunkline/internal/pgtest"
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

var metricInDocument = regexp.MustCompile("`(trunkline_[a-z_]+)[`{]")

// docs/operations.md has every metric of a server that runs, and no other.
func TestOperationsListEveryMetric(t *testing.T) {
	t.Parallel()
	var d descriptions
	srv, err := trunkline.New(trunkline.Config{
		DatabaseURL: pgtest.URL(t), SecretKeyBase: strings.Repeat("s", 20), Registerer: &d,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Jobs(trunkline.JobsOptions{Webhooks: map[string]trunkline.WebhookEndpoint{
		"billing": {URL: "https://billing.example", Secret: webhookSecret},
	}})
	_, stop := start(srv)
	stop()
	for _, part := range []string{"trunkline_channels", "trunkline_websocket_", "trunkline_bus_", "trunkline_history_", "trunkline_presence_", "trunkline_job", "trunkline_webhook_"} {
		if !slices.ContainsFunc(d.names, func(name string) bool { return strings.HasPrefix(name, part) }) {
			t.Errorf("no metric %s… was registered", part)
		}
	}
	var listed []string
	for _, name := range metricInDocument.FindAllStringSubmatch(file(t, "docs/operations.md"), -1) {
		listed = append(listed, name[1])
	}
	for _, name := range d.names {
		if !slices.Contains(listed, name) {
			t.Errorf("docs/operations.md does not have the metric %s", name)
		}
	}
	for _, name := range listed {
		if !slices.Contains(d.names, name) {
			t.Errorf("docs/operations.md has the metric %s, which does not exist", name)
		}
	}
}

// The README's SQL does what it says.
func TestREADMESQLPublishes(t *testing.T) {
	t.Parallel()
	databaseURL := pgtest.URL(t)
	srv := newServer(databaseURL)
	srv.Durable("order:*", trunkline.HistoryOptions{})
	_, stop := start(srv)
	defer stop()
	_, sql, found := strings.Cut(file(t, "README.md"), "```sql\n")
	sql, _, closed := strings.Cut(sql, "```\n")
	if !found || !closed {
		t.Fatal("no SQL in README.md")
	}
	conn, err := pgx.Connect(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
	var events []string
	for deadline := time.Now().Add(exampleTimeout); len(events) < 2 && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		messages, _, err := srv.Messages(t.Context(), "order:7", 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		events = nil
		for _, m := range messages {
			events = append(events, m.Event)
		}
	}
	if !slices.Equal(events, []string{"insert", "paid"}) {
		t.Errorf("order:7 has the events %v, want insert and paid", events)
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
