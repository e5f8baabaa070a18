package jobsui_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/riverqueue/river"

	"github.com/trunkline/trunkline"
	"github.com/trunkline/trunkline/internal/pgtest"
	"github.com/trunkline/trunkline/jobsui"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const token = "an operator's token of enough bytes"

type chore struct {
	Text string `json:"text"`
}

func (chore) Kind() string { return "chore" }

// serve starts a node that has the interface.
func serve(t *testing.T) (*trunkline.Server, *httptest.Server) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	srv, err := trunkline.New(trunkline.Config{DatabaseURL: pgtest.URL(t), SecretKeyBase: strings.Repeat("s", 20), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	admin, err := srv.JobsAdmin()
	if err != nil {
		t.Fatal(err)
	}
	ui, err := jobsui.New(admin, jobsui.Options{Token: token, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(ui)
	t.Cleanup(web.Close)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	for deadline := time.Now().Add(time.Minute); srv.Ready(ctx) != nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(srv.Ready(ctx))
		}
	}
	return srv, web
}

type request struct {
	method, path, body string
	headers            map[string]string
	authorize          func(*http.Request)
}

func bearer(r *http.Request)   { r.Header.Set("Authorization", "Bearer "+token) }
func password(r *http.Request) { r.SetBasicAuth("anybody", token) }

type answer struct {
	status int
	header http.Header
	body   string
}

func do(t *testing.T, web *httptest.Server, r request) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), r.method, web.URL+r.path, strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range r.headers {
		req.Header.Set(name, value)
	}
	if r.authorize != nil {
		r.authorize(req)
	}
	resp, err := web.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

func TestTokenIsNeeded(t *testing.T) {
	t.Parallel()
	_, web := serve(t)
	for _, path := range []string{"/admin/jobs", "/admin/jobs/", "/admin/jobs/api/jobs", "/admin/jobs/favicon.ico", "/elsewhere"} {
		for name, authorize := range map[string]func(*http.Request){
			"nothing":        nil,
			"another token":  func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token+"x") },
			"a part of it":   func(r *http.Request) { r.SetBasicAuth("admin", token[:20]) },
			"as the user":    func(r *http.Request) { r.SetBasicAuth(token, "") },
			"another scheme": func(r *http.Request) { r.Header.Set("Authorization", "Token "+token) },
			"in the query":   func(r *http.Request) { r.URL.RawQuery = url.Values{"token": {token}}.Encode() },
		} {
			got := do(t, web, request{method: http.MethodGet, path: path, authorize: authorize})
			if got.status != http.StatusUnauthorized || !strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Basic ") {
				t.Errorf("%s with %s: %d %s", path, name, got.status, got.body)
			}
		}
	}
}

var asset = regexp.MustCompile(`(?:src|href)="(/admin/jobs/[^"]+\.(?:js|css))"`)

// The page, what it refers to, and what it asks for.
func TestInterfaceIsServed(t *testing.T) {
	t.Parallel()
	srv, web := serve(t)
	result, err := srv.Enqueue(t.Context(), chore{"dust"}, &river.InsertOpts{Queue: "elsewhere"})
	if err != nil {
		t.Fatal(err)
	}
	for _, authorize := range []func(*http.Request){bearer, password} {
		for _, path := range []string{"/admin/jobs", "/admin/jobs/", "/admin/jobs/queues"} {
			page := do(t, web, request{method: http.MethodGet, path: path, authorize: authorize, headers: map[string]string{"Accept": "text/html"}})
			if page.status != http.StatusOK || !strings.Contains(page.body, "<title>River") {
				t.Fatalf("%s: %d %s", path, page.status, page.body)
			}
			if policy := page.header.Get("Content-Security-Policy"); policy != "frame-ancestors 'none'" {
				t.Errorf("%s: Content-Security-Policy: %q", path, policy)
			}
			assets := asset.FindAllStringSubmatch(page.body, -1)
			if len(assets) < 2 {
				t.Fatalf("%s refers to %v, want a script and a style sheet", path, assets)
			}
			for _, a := range assets {
				if got := do(t, web, request{method: http.MethodGet, path: a[1], authorize: authorize}); got.status != http.StatusOK || len(got.body) < 10_000 {
					t.Errorf("%s: %d, %d bytes", a[1], got.status, len(got.body))
				}
			}
		}
	}

	var listed struct {
		Data []struct {
			ID   json.Number `json:"id"`
			Kind string      `json:"kind"`
		} `json:"data"`
	}
	jobs := do(t, web, request{method: http.MethodGet, path: "/admin/jobs/api/jobs?state=available", authorize: bearer})
	if err := json.Unmarshal([]byte(jobs.body), &listed); err != nil || jobs.status != http.StatusOK {
		t.Fatalf("jobs: %d %v: %s", jobs.status, err, jobs.body)
	}
	if len(listed.Data) != 1 || listed.Data[0].Kind != "chore" {
		t.Fatalf("jobs: %s", jobs.body)
	}
	for _, path := range []string{"/admin/jobs/api/states", "/admin/jobs/api/queues?limit=10", "/admin/jobs/api/features"} {
		if got := do(t, web, request{method: http.MethodGet, path: path, authorize: bearer}); got.status != http.StatusOK || !json.Valid([]byte(got.body)) {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}

	// Another site's page cannot act with the browser's password.
	cancel := request{
		method: http.MethodPost, path: "/admin/jobs/api/jobs/cancel", authorize: password,
		body: `{"ids": ["` + json.Number(listed.Data[0].ID).String() + `"]}`, headers: map[string]string{"Sec-Fetch-Site": "cross-site"},
	}
	if got := do(t, web, cancel); got.status != http.StatusForbidden {
		t.Errorf("from another site: %d %s", got.status, got.body)
	}
	if state := state(t, srv, result.Job.ID); state != "available" {
		t.Fatalf("the job is %s", state)
	}
	cancel.headers["Sec-Fetch-Site"] = "same-origin"
	if got := do(t, web, cancel); got.status != http.StatusOK {
		t.Errorf("from its own page: %d %s", got.status, got.body)
	}
	if state := state(t, srv, result.Job.ID); state != "cancelled" {
		t.Errorf("the job is %s", state)
	}
}

func state(t *testing.T, srv *trunkline.Server, id int64) string {
	t.Helper()
	admin, err := srv.JobsAdmin()
	if err != nil {
		t.Fatal(err)
	}
	job, err := admin.Client().JobGet(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return string(job.State)
}

func TestBodyIsBounded(t *testing.T) {
	t.Parallel()
	_, web := serve(t)
	got := do(t, web, request{
		method: http.MethodPost, path: "/admin/jobs/api/jobs/cancel", authorize: bearer,
		body: `{"ids": ["` + strings.Repeat("1", 2<<20) + `"]}`,
	})
	if got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("2 MiB: %d %s", got.status, got.body)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	srv, err := trunkline.New(trunkline.Config{DatabaseURL: "postgres://app@127.0.0.1:1/app", SecretKeyBase: strings.Repeat("s", 20)})
	if err != nil {
		t.Fatal(err)
	}
	admin, err := srv.JobsAdmin()
	if err != nil {
		t.Fatal(err)
	}
	for want, o := range map[string]jobsui.Options{
		"ADMIN_TOKEN) has 0 bytes":  {},
		"ADMIN_TOKEN) has 19 bytes": {Token: strings.Repeat("t", 19)},
		"not the root":              {Token: token, Prefix: "/"},
	} {
		if _, err := jobsui.New(admin, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", o, err, want)
		}
	}
}
