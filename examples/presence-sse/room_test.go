package main

import (
	"bufio"
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

	"github.com/trunkline/trunkline"
	"github.com/trunkline/trunkline/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const within = 20 * time.Second

// start serves the example on a node of its own.
func start(t *testing.T, databaseURL string) string {
	t.Helper()
	srv, err := trunkline.New(trunkline.Config{
		DatabaseURL:   databaseURL,
		SecretKeyBase: strings.Repeat("s", 64),
		Logger:        slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	room := follow(srv, "room:lobby")
	web := httptest.NewServer(room.handler())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		web.CloseClientConnections()
		web.Close()
		room.unfollow()
	})
	return web.URL
}

// client is an open page.
type client struct {
	t     *testing.T
	name  string
	close context.CancelFunc
	lists chan string // people, one event each
}

var item = regexp.MustCompile(`<li>(.*?)</li>`)

func open(t *testing.T, site, name string) *client {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, site+"/events?name="+url.QueryEscape(name), nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	if got := res.Header.Get("Content-Type"); res.StatusCode != http.StatusOK || got != "text/event-stream" {
		t.Fatalf("%s: %s", res.Status, got)
	}
	c := &client{t, name, cancel, make(chan string, 1000)}
	go func() {
		defer close(c.lists)
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			data, ok := strings.CutPrefix(lines.Text(), "data: ")
			if !ok {
				continue
			}
			var html string
			if err := json.Unmarshal([]byte(data), &html); err != nil {
				t.Error(err)
			}
			var names []string
			for _, found := range item.FindAllStringSubmatch(html, -1) {
				names = append(names, found[1])
			}
			c.lists <- strings.Join(names, ", ")
		}
	}()
	return c
}

// sees waits for an event that lists them.
func (c *client) sees(want string) {
	c.t.Helper()
	timeout := time.After(within)
	for last := ""; ; {
		select {
		case list, ok := <-c.lists:
			if !ok {
				c.t.Fatalf("%s's stream ended; saw %q, want %q", c.name, last, want)
			}
			if last = list; list == want {
				return
			}
		case <-timeout:
			c.t.Fatalf("%s sees %q, want %q", c.name, last, want)
		}
	}
}

// Two pages on two nodes see each other, a second one of the same name, and who
// leaves.
func TestPagesSeeEachOther(t *testing.T) {
	t.Parallel()
	databaseURL := pgtest.URL(t)
	one, two := start(t, databaseURL), start(t, databaseURL)
	ann := open(t, one, "ann")
	ann.sees("ann")
	bob := open(t, two, "<b>ob")
	bob.sees("&lt;b&gt;ob, ann")
	ann.sees("&lt;b&gt;ob, ann")

	again := open(t, two, "ann")
	ann.sees("&lt;b&gt;ob, ann (2 pages)")
	bob.sees("&lt;b&gt;ob, ann (2 pages)")
	again.close()
	ann.sees("&lt;b&gt;ob, ann")
	bob.sees("&lt;b&gt;ob, ann")

	res, err := http.Get(one + "/?name=eve")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	html, err := io.ReadAll(res.Body)
	if err != nil || !strings.Contains(string(html), "<li>&lt;b&gt;ob</li>") || !strings.Contains(string(html), `encodeURIComponent("eve")`) {
		t.Errorf("the page: %v\n%s", err, html)
	}

	ann.close()
	bob.sees("&lt;b&gt;ob")
}

func TestNameThatCannotBeTracked(t *testing.T) {
	t.Parallel()
	site := start(t, pgtest.URL(t))
	res, err := http.Get(site + "/events?name=" + strings.Repeat("x", 2000))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusBadRequest {
		t.Errorf("%s, want 400", res.Status)
	}
}
