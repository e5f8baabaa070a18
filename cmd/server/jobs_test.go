package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/trunkline/trunkline"
	"github.com/trunkline/trunkline/internal/pgtest"
)

type choreArgs struct {
	Text string `json:"text"`
}

func (choreArgs) Kind() string { return "chore" }

// enqueue queues jobs that no node works.
func enqueue(t *testing.T, database string, queues ...string) (ids []string) {
	t.Helper()
	admin, err := trunkline.DialJobs(t.Context(), trunkline.Config{DatabaseURL: database})
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	for _, queue := range queues {
		result, err := admin.Client().Insert(t.Context(), choreArgs{"private"}, &river.InsertOpts{Queue: queue})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, fmt.Sprint(result.Job.ID))
	}
	return ids
}

func execute(t *testing.T, database, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func TestJobs(t *testing.T) {
	t.Parallel()
	database := pgtest.URL(t)
	env := settings{"DATABASE_URL=" + database}
	ids := enqueue(t, database, "a", "a", "b")
	// As a worker leaves one that failed for good, with an error from elsewhere.
	execute(t, database, `update trunkline.river_job set state = 'discarded', finalized_at = now(), attempt = 25, errors = array[
		'{"at": "2026-01-02T03:04:05Z", "attempt": 24, "error": "the first", "trace": ""}',
		'{"at": "2026-01-02T03:04:06Z", "attempt": 25, "error": "two\nlines \u001b[31mred", "trace": "a stack"}'
	]::jsonb[] where id = `+ids[0])

	lines := strings.Split(strings.TrimSpace(mustRun(t, env, "jobs", "list")), "\n")
	if len(lines) != 4 {
		t.Fatalf("%d lines, want a header and 3 jobs: %q", len(lines), lines)
	}
	for i, want := range []string{"ID", ids[2], ids[1], ids[0]} {
		if fields := strings.Fields(lines[i]); fields[0] != want {
			t.Errorf("line %d begins with %s, want %s", i, fields[0], want)
		}
	}
	failed := strings.Fields(lines[3])
	if got := strings.Join(failed[1:5], " "); got != "chore a discarded 25/25" {
		t.Errorf("line of the job that failed: %q", lines[3])
	}
	if !strings.HasSuffix(lines[3], "two lines [31mred") {
		t.Errorf("its last error is not on one line, or obeyed by a terminal: %q", lines[3])
	}

	for args, want := range map[string]string{
		"--state=discarded":                ids[0],
		"--state=discarded,cancelled":      ids[0],
		"--queue=b":                        ids[2],
		"--queue=a --state=available":      ids[1],
		"--kind=chore --limit=1":           ids[2],
		"--queue=a --queue=b --limit=1":    ids[2],
		"--kind=chore --state=retryable":   "",
		"--kind=other --schema=trunkline":  "",
		"--state=available,discarded":      strings.Join([]string{ids[2], ids[1], ids[0]}, " "),
		"--state=available --kind=nothing": "",
	} {
		out := mustRun(t, env, append([]string{"jobs", "list", "--json"}, strings.Fields(args)...)...)
		var got []string
		for d := json.NewDecoder(strings.NewReader(out)); d.More(); {
			var job struct{ ID int64 }
			if err := d.Decode(&job); err != nil {
				t.Fatalf("%s: %v: %s", args, err, out)
			}
			got = append(got, fmt.Sprint(job.ID))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: jobs %v, want %s", args, got, want)
		}
	}

	for _, format := range [][]string{nil, {"--json"}} {
		list := append([]string{"jobs", "list"}, format...)
		if out := mustRun(t, env, list...); strings.Contains(out, "private") || strings.Contains(out, "a stack") {
			t.Errorf("%v prints the arguments: %s", list, out)
		}
		if out := mustRun(t, env, append(list, "--args")...); strings.Count(out, `"private"`) != 3 {
			t.Errorf("%v --args does not print them: %s", list, out)
		}
	}

	if out := mustRun(t, env, "jobs", "retry", ids[0]); out != "job "+ids[0]+": available\n" {
		t.Errorf("retry: %q", out)
	}
	code, out := run(t, env, "jobs", "cancel", "999999", ids[0], ids[1])
	if code != 1 || !strings.Contains(out, "job 999999: there is no such job") || strings.Count(out, ": cancelled\n") != 2 {
		t.Errorf("cancel of two and an unknown one: exit code %d: %s", code, out)
	}
	execute(t, database, `update trunkline.river_job set state = 'completed', finalized_at = now() where id = `+ids[2])
	if code, out = run(t, env, "jobs", "cancel", ids[2]); code != 1 || !strings.Contains(out, "it has ended already, it is completed") {
		t.Errorf("cancel of a completed one: exit code %d: %s", code, out)
	}
	execute(t, database, `update trunkline.river_job set state = 'running', finalized_at = null where id = `+ids[2])
	if code, out = run(t, env, "jobs", "retry", ids[2]); code != 1 || !strings.Contains(out, "it is running") {
		t.Errorf("retry of a running one: exit code %d: %s", code, out)
	}
	if out := mustRun(t, env, "jobs", "cancel", ids[2]); out != "job "+ids[2]+": running, told to end\n" {
		t.Errorf("cancel of a running one: %q", out)
	}
	if code, out = run(t, env, "jobs", "list", "--state=sleeping"); code != 1 || !strings.Contains(out, `state "sleeping": want one of`) {
		t.Errorf("list of an unknown state: exit code %d: %s", code, out)
	}
	if code, out := run(t, settings{"DATABASE_URL=" + pgtest.EmptyURL(t)}, "jobs", "list"); code != 1 || !strings.Contains(out, "migrate it first") {
		t.Errorf("without tables: exit code %d: %s", code, out)
	}
}

func TestJobsUI(t *testing.T) {
	t.Parallel()
	database := pgtest.URL(t)
	const token = "token of an operator"
	on, off := serve(t, database, "ADMIN_TOKEN="+token), serve(t, database, "DEMO=true")
	for _, test := range []struct {
		n          node
		token      string
		path, name string
		want       int
	}{
		{on, "", "/admin/jobs", "without the token", 401},
		{on, "", "/admin/jobs/", "without the token", 401},
		{on, token[1:], "/admin/jobs/", "with another token", 401},
		{on, token, "/admin/jobs", "with the token", 200},
		{on, token, "/admin/jobs/api/states", "with the token", 200},
		{off, token, "/admin/jobs", "where it is off", 404},
		{off, token, "/admin/jobs/", "where it is off", 404},
		{off, token, "/admin/jobs/api/states", "where it is off", 404},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, test.n.url()+test.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("operator", test.token)
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: frameTimeout}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != test.want {
			t.Errorf("%s %s: %d, want %d", test.path, test.name, resp.StatusCode, test.want)
		}
	}
	if out := on.out.String(); strings.Contains(out, token) {
		t.Error("the log holds the token")
	}
}
