package chat

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

func get(h http.Handler, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func pageHandler() http.Handler {
	mux := http.NewServeMux()
	page(mux)
	return mux
}

func TestPageFiles(t *testing.T) {
	t.Parallel()
	h := pageHandler()
	for target, contentType := range map[string]string{
		"/": "text/html; charset=utf-8", "/app.js": "text/javascript; charset=utf-8",
		"/phoenix.mjs": "text/javascript; charset=utf-8", "/style.css": "text/css; charset=utf-8",
		"/icon.svg": "image/svg+xml", "/phoenix.LICENSE.md": "",
	} {
		resp := get(h, target)
		if resp.Code != http.StatusOK {
			t.Errorf("GET %s: %d", target, resp.Code)
			continue
		}
		if got := resp.Header().Get("Content-Type"); contentType != "" && got != contentType {
			t.Errorf("GET %s: Content-Type %q, want %q", target, got, contentType)
		}
		csp := resp.Header().Get("Content-Security-Policy")
		if !strings.HasPrefix(csp, "default-src 'none'; script-src 'self';") || strings.Contains(csp, "unsafe") {
			t.Errorf("GET %s: Content-Security-Policy %q", target, csp)
		}
		if again := get(h, target, "If-None-Match", resp.Header().Get("ETag")); again.Code != http.StatusNotModified {
			t.Errorf("GET %s with its ETag: %d, want 304", target, again.Code)
		}
	}
	for _, target := range []string{"/index.html/", "/static/app.js", "/page.go", "/..", "/nothing"} {
		if resp := get(h, target); resp.Code == http.StatusOK {
			t.Errorf("GET %s: 200", target)
		}
	}
}

// The policy refuses inline code, so the page must have none; and everything
// that its files name must be there.
func TestPageIsWhole(t *testing.T) {
	t.Parallel()
	html, err := static.ReadFile("static/index.html")
	if err != nil {
		t.Fatal(err)
	}
	if m := regexp.MustCompile(`<script>|<style|\sstyle=|\son\w+=|javascript:`).Find(html); m != nil {
		t.Errorf("index.html has inline code: %q", m)
	}
	h := pageHandler()
	reference := regexp.MustCompile(`(?:src|href)="(/[^"]+)"|from "(/[^"]+)"|url\("(/[^"]+)"\)`)
	found := 0
	err = fs.WalkDir(static, "static", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasPrefix(e.Name(), "phoenix.") {
			return err
		}
		content, err := static.ReadFile(name)
		for _, m := range reference.FindAllStringSubmatch(string(content), -1) {
			found++
			target := m[1] + m[2] + m[3]
			if resp := get(h, target); resp.Code != http.StatusOK {
				t.Errorf("%s names %s: %d", name, target, resp.Code)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 10 {
		t.Errorf("found %d references only", found)
	}
}

// The client is priv/static/phoenix.mjs of the npm package phoenix 1.8.16.
func TestPhoenixClientIsUnmodified(t *testing.T) {
	t.Parallel()
	const published = "36e6f701a40a47988a4810a308cf54f9b441e5c4b68b83797fec4f69becb1627"
	served, err := static.ReadFile("static/phoenix.mjs")
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%x", sha256.Sum256(served)); got != published {
		t.Errorf("static/phoenix.mjs has SHA-256 %s, want %s", got, published)
	}
}

func TestTokenForAnyone(t *testing.T) {
	t.Parallel()
	h := tokenForAnyone(func(userID string) (string, error) { return "token of " + userID, nil })
	for _, name := range []string{"ann", "Zoë", "李雷", "a.b-c_1", strings.Repeat("x", 32)} {
		resp := get(h, "/demo/token?user="+url.QueryEscape(name))
		var body map[string]string
		if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
			t.Fatal(err)
		}
		if body["token"] != "token of "+name || body["user_id"] != name || len(body) != 2 {
			t.Errorf("%q: %v", name, body)
		}
		if got := resp.Header().Get("Cache-Control"); got != "no-store" {
			t.Errorf("Cache-Control %q", got)
		}
	}
	for _, name := range []string{"", " ", "a b", "a\n", "-a", ".a", "a/b", "a:b", "a*", "<b>", "\xff", strings.Repeat("x", 33)} {
		resp := get(h, "/demo/token?user="+url.QueryEscape(name))
		var body fieldErrors
		if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
			t.Fatal(err)
		}
		if resp.Code != http.StatusBadRequest || len(body.Errors["user"]) != 1 {
			t.Errorf("%q: %d %v", name, resp.Code, body)
		}
	}
	broken := tokenForAnyone(func(string) (string, error) { return "", errors.New("broken") })
	if resp := get(broken, "/demo/token?user=ann"); resp.Code != http.StatusInternalServerError {
		t.Errorf("a signer that fails: %d", resp.Code)
	}
}
