package realtime

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLongPollSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newPollNode(t, nil, MountOptions{})
		c := n.open(t)
		c.join("room:1")

		c.want(c.post(`["1","2","room:1","ping",{"n":"<&>\u2028"}]`), 200)
		synctest.Wait()
		c.want(c.get(), 200, `["1","2","room:1","phx_reply",{"status":"ok","response":{"n":"<&>\u2028"}}]`)

		start := time.Now()
		res := c.get()
		c.want(res, 204)
		wantTook(t, start, testWindow)
		if res.Token != c.token || !strings.Contains(res.body, `"messages":[]`) {
			t.Fatalf("an empty poll got %s", res.body)
		}
		for name, want := range map[string]string{
			"Content-Type":                "application/json; charset=utf-8",
			"Cache-Control":               "no-store",
			"Access-Control-Allow-Origin": "*",
		} {
			if got := res.header.Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}

		// a poll that waits is answered as soon as something comes
		start = time.Now()
		time.AfterFunc(testWindow/4, func() {
			if err := n.engine.Broadcast("room:1", "news", EmptyObject); err != nil {
				t.Error(err)
			}
		})
		c.want(c.get(), 200, `[null,null,"room:1","news",{}]`)
		wantTook(t, start, testWindow/4)

		c.want(c.post(`["1","3","room:nope/1","ping",{}]`), 200)
		c.want(c.get(), 200, `[null,"3","room:nope/1","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]`)
		c.want(c.post(`["1","4","room:1","crash",{}]`), 200)
		c.want(c.get(), 200, `["1","1","room:1","phx_error",{"reason":"channel_crash"}]`)
	})
}

func TestLongPollVersion1(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newPollNode(t, nil, MountOptions{})
		res := n.do(t.Context(), "GET", "/socket/longpoll?user=1", "")
		c := &pollClient{t: t, node: n, token: res.Token}
		c.want(c.post(`{"topic":"room:1","event":"phx_join","payload":{},"ref":"1"}`), 200)
		c.want(c.get(), 200, `{"topic":"room:1","event":"phx_reply","payload":{"status":"ok","response":{}},"ref":"1"}`)
	})
}

func TestLongPollBatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newPollNode(t, nil, MountOptions{})
		c := n.open(t)
		c.want(c.batch(`["1","1","room:1","phx_join",{}]`, `["1","2","room:1","ping",{"n":1}]`, ``), 200)
		synctest.Wait()
		c.want(c.get(), 200,
			`["1","1","room:1","phx_reply",{"status":"ok","response":{}}]`,
			`["1","2","room:1","phx_reply",{"status":"ok","response":{"n":1}}]`)

		// what stands before a bad line counts, and the session lives on
		res := c.batch(`["1","3","room:1","ping",{}]`, `not base64!`, `["1","4","room:1","ping",{}]`)
		if res.code != 500 || res.body != `{"errors":{"detail":"Internal Server Error"}}` {
			t.Fatalf("a bad line got %d %s", res.code, res.body)
		}
		synctest.Wait()
		c.want(c.get(), 200, `["1","3","room:1","phx_reply",{"status":"ok","response":{}}]`)

		var lines, replies []string
		for i := range maxBatchLines + 2 {
			lines = append(lines, fmt.Sprintf(`["1","%d","room:1","ping",{}]`, i))
			replies = append(replies, fmt.Sprintf(`["1","%d","room:1","phx_reply",{"status":"ok","response":{}}]`, i))
		}
		c.want(c.batch(lines...), 200)
		synctest.Wait()
		c.want(c.get(), 200, replies[:maxBatchLines]...)
	})
}

// A binary message that is UTF-8 goes into the answer; one that is not fails
// one poll, and takes no other message with it.
func TestLongPollBinaryMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newPollNode(t, nil, MountOptions{})
		c := n.open(t)
		c.join("room:1")
		c.want(c.post(`["1","2","room:1","bin",{"a":1}]`), 200)
		c.want(c.get(), 200, "\x01\x01\x01\x06\x0212room:1ok{\"a\":1}")

		c.want(c.batch(`["1","3","room:1","ping",{}]`, `AAEBBgMxNHJvb206MWJpbv/+`, `["1","5","room:1","ping",{}]`), 200)
		synctest.Wait()
		res := c.get()
		if res.code != 500 || res.body != `{"errors":{"detail":"Internal Server Error"}}` || res.header.Get("Access-Control-Allow-Origin") != "" {
			t.Fatalf("a message that is not UTF-8 got %d %s", res.code, res.body)
		}
		c.want(c.get(), 200,
			`["1","3","room:1","phx_reply",{"status":"ok","response":{}}]`,
			`["1","5","room:1","phx_reply",{"status":"ok","response":{}}]`)
	})
}

func TestLongPollSlowJoin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newPollNode(t, nil, MountOptions{})
		c := n.open(t)
		start := time.Now()
		c.want(c.batch(`["1","1","room:slow","phx_join",{}]`, `["1","2","room:slow","ping",{}]`), 408)
		wantTook(t, start, testWindow)
		// the session lives on, the join too; the frame behind it was dropped
		c.want(c.get(), 204)
		c.want(c.get(), 200, `["1","1","room:slow","phx_reply",{"status":"ok","response":{}}]`)
		wantTook(t, start, n.slow)

		n.slow = testWindow / 2
		start = time.Now()
		c.want(c.post(`["7","7","room:slow","phx_join",{}]`), 200)
		wantTook(t, start, n.slow)
	})
}

// POSTs of one session wait for each other.
func TestLongPollPostsAreOrdered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newPollNode(t, nil, MountOptions{})
		n.slow = testWindow / 2
		c := n.open(t)
		first := make(chan pollResult)
		go func() { first <- c.post(`["1","1","room:slow","phx_join",{}]`) }()
		synctest.Wait()
		start := time.Now()
		c.want(c.post(`["1","2","room:slow","ping",{}]`), 200)
		wantTook(t, start, n.slow)
		c.want(<-first, 200)
		synctest.Wait()
		c.want(c.get(), 200,
			`["1","1","room:slow","phx_reply",{"status":"ok","response":{}}]`,
			`["1","2","room:slow","phx_reply",{"status":"ok","response":{}}]`)

		n.slow = 4 * testWindow
		results := make(chan pollResult, maxWaitingPosts)
		for i := range maxWaitingPosts {
			go func() { results <- c.post(fmt.Sprintf(`["2","%d","room:slow","phx_join",{}]`, i)) }()
		}
		synctest.Wait()
		c.want(c.post(`["1","3","room:slow","ping",{}]`), 429)
		for range maxWaitingPosts {
			c.want(<-results, 408)
		}
	})
}

func TestLongPollBadFrameEndsTheSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newPollNode(t, nil, MountOptions{})
		c := n.open(t)
		c.join("room:1")
		start := time.Now()
		c.want(c.post(`{"no":`), 408)
		wantTook(t, start, testWindow)
		n.wantEnd(t, ErrClosed)

		start = time.Now()
		c.want(c.post(`["1","2","room:1","ping",{}]`), 410)
		wantTook(t, start, 2*time.Second)
		start = time.Now()
		res := n.do(t.Context(), "GET", c.target()+"&user=1&token="+c.token, "")
		c.want(res, 410)
		wantTook(t, start, 2*time.Second)
		if res.Token == "" || res.Token == c.token {
			t.Fatalf("no new session: %s", res.body)
		}
	})
}

func TestLongPollInactivity(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newPollNode(t, nil, MountOptions{LongPoll: LongPollOptions{MaxAge: 5 * time.Second}})
		c := n.open(t)
		c.join("room:1")
		for range 4 { // polls keep it alive, POSTs do not
			time.Sleep(testWindow)
			c.want(c.post(`[null,"2","phoenix","heartbeat",{}]`), 200)
			c.want(c.get(), 200, `[null,"2","phoenix","phx_reply",{"status":"ok","response":{}}]`)
		}
		start := time.Now()
		n.wantEnd(t, ErrInactive)
		if took := time.Since(start); took < 3*testWindow/2 || took > 3*testWindow {
			t.Fatalf("the session ended %v after its last poll", took)
		}
		// the token has expired: refused at once
		start = time.Now()
		c.want(c.post(`["1","2","room:1","ping",{}]`), 410)
		c.want(c.get(), 403)
		wantTook(t, start, 0)
	})
}

func TestLongPollDisconnect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newPollNode(t, nil, MountOptions{})
		c := n.open(t)
		c.join("room:1")
		waiting := make(chan pollResult)
		go func() { waiting <- c.get() }()
		synctest.Wait()
		start := time.Now()
		if err := n.engine.Disconnect("user:1"); err != nil {
			t.Fatal(err)
		}
		n.wantEnd(t, ErrDisconnected)
		res := <-waiting
		c.want(res, 410)
		wantTook(t, start, 0)
		c.want(c.post(`["1","2","room:1","ping",{}]`), 410)
		wantTook(t, start, 2*time.Second)
		if count := n.engine.Subscribers("user:1"); count != 0 {
			t.Fatalf("%d subscribers are left", count)
		}
	})
}

// The newest poll gets the messages; the one that it replaced waits out its
// window.
func TestLongPollNewestPollCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newPollNode(t, nil, MountOptions{})
		c := n.open(t)
		c.join("room:1")
		older, newer := make(chan pollResult), make(chan pollResult)
		start := time.Now()
		go func() { older <- c.get() }()
		synctest.Wait()
		go func() { newer <- c.get() }()
		synctest.Wait()
		if err := n.engine.Broadcast("room:1", "news", EmptyObject); err != nil {
			t.Fatal(err)
		}
		c.want(<-newer, 200, `[null,null,"room:1","news",{}]`)
		wantTook(t, start, 0)
		c.want(<-older, 204)
		wantTook(t, start, testWindow)
	})
}

func TestLongPollClientThatLeavesLosesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newPollNode(t, nil, MountOptions{})
		c := n.open(t)
		c.join("room:1")
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			n.do(ctx, "GET", c.target(), "")
		}()
		synctest.Wait()
		cancel()
		<-gone
		if err := n.engine.Broadcast("room:1", "news", EmptyObject); err != nil {
			t.Fatal(err)
		}
		// the request is there, but its client has left before the answer
		n.do(ctx, "GET", c.target(), "")
		c.want(c.get(), 200, `[null,null,"room:1","news",{}]`)
	})
}

func TestLongPollSlowClientLosesItsSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newPollNode(t, nil, MountOptions{})
		c := n.open(t)
		c.join("room:1")
		big := Payload{Data: []byte(`{"x":"` + strings.Repeat("x", 300<<10) + `"}`)}
		for range 3 {
			if err := n.engine.Broadcast("room:1", "big", big); err != nil {
				t.Fatal(err)
			}
		}
		if len(n.ends) > 0 || n.engine.Subscribers("room:1") != 1 {
			t.Fatal("the session ended too early")
		}
		if err := n.engine.Broadcast("room:1", "big", big); err != nil {
			t.Fatal(err)
		}
		n.wantEnd(t, ErrClosed)
	})
}

func TestLongPollDrain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newPollNode(t, nil, MountOptions{})
		joined, idle := n.open(t), n.open(t)
		joined.join("room:1")
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error)
		go func() { ran <- n.engine.Run(ctx) }()
		polls := make(chan pollResult, 2)
		go func() { polls <- joined.get() }()
		synctest.Wait()
		start := time.Now()
		cancel()
		n.wantEnd(t, ErrDraining)
		joined.want(<-polls, 410)
		wantTook(t, start, 0)
		joined.want(joined.post(`["1","2","room:1","ping",{}]`), 410)
		res := joined.get()
		if res.code != 503 || res.body != "" {
			t.Fatalf("a new session of a draining node got %d %q", res.code, res.body)
		}
		wantTook(t, start, 0) // nobody waits for a session that ends with its node
		idle.want(idle.get(), 204)
		if err := <-ran; err != nil {
			t.Fatal(err)
		}
		if n.engine.polls.find("") != nil || len(n.engine.polls.sessions) != 0 {
			t.Fatal("a session is left")
		}
	})
}

func TestLongPollTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newPollNode(t, nil, MountOptions{})
		c := n.open(t)
		beat := `[null,"1","phoenix","heartbeat",{}]`
		post := func(target string, header ...string) pollResult {
			return n.do(t.Context(), "POST", target, beat, header...)
		}
		c.want(post("/socket/longpoll?token=app&token="+c.token), 200)
		c.want(post("/socket/longpoll?token=app", longPollHeader, c.token), 200)
		start := time.Now()
		c.want(post("/socket/longpoll?token="+c.token+"&token=app"), 410)
		c.want(post("/socket/longpoll?token="+c.token, longPollHeader, "bad"), 410)
		c.want(post("/other/longpoll?token="+c.token), 410) // of another socket path
		c.want(post("/socket/longpoll"), 410)
		wantTook(t, start, 0)
		time.Sleep(15 * 24 * time.Hour)
		c.want(post("/socket/longpoll?token="+c.token), 410)
	})
}

func TestLongPollConnect(t *testing.T) {
	t.Parallel()
	n := newPollNode(t, nil, MountOptions{AuthToken: true})
	for _, tt := range []struct {
		target, header string
		code, status   int
	}{
		{"/socket/longpoll?user=1&vsn=2.0.0", "", 200, 410},
		{"/socket/longpoll?vsn=2.0.0", "secret", 200, 410},
		{"/socket/longpoll?vsn=2.0.0", "", 200, 403},
		{"/socket/longpoll?user=1&vsn=3.0.0", "", 200, 403},
		{"/socket/longpoll?user=1&refuse=plain&vsn=2.0.0", "", 200, 403},
		{"/socket/longpoll?user=1&refuse=raise&vsn=2.0.0", "", 500, 0},
	} {
		var header []string
		if tt.header != "" {
			header = []string{"X-Phoenix-AuthToken", tt.header}
		}
		res := n.do(t.Context(), "GET", tt.target, "", header...)
		if res.code != tt.code || res.Status != tt.status {
			t.Errorf("%s got %d %s, want %d and status %d", tt.target, res.code, res.body, tt.code, tt.status)
		}
		if res.Status == 403 && res.body != `{"status":403}` {
			t.Errorf("a refusal is %s", res.body)
		}
	}
}

func TestLongPollOriginsAndMethods(t *testing.T) {
	t.Parallel()
	origins, err := ListOrigins("//example.com")
	if err != nil {
		t.Fatal(err)
	}
	n := newPollNode(t, nil, MountOptions{LongPollOrigin: origins})
	for _, tt := range []struct {
		method, origin string
		code           int
		body           string
	}{
		{"GET", "http://evil.com", 200, `{"status":403}`},
		{"POST", "http://evil.com", 200, `{"status":403}`},
		{"OPTIONS", "http://evil.com", 200, `{"status":403}`},
		{"OPTIONS", "http://example.com", 200, ``},
		{"PUT", "http://example.com", 400, ``},
		{"HEAD", "http://example.com", 400, ``},
		{"DELETE", "http://evil.com", 200, `{"status":403}`},
	} {
		res := n.do(t.Context(), tt.method, "/socket/longpoll?user=1", "", "origin", tt.origin, "access-control-request-headers", "content-type, x-a")
		if res.code != tt.code || res.body != tt.body {
			t.Errorf("%s from %s got %d %q, want %d %q", tt.method, tt.origin, res.code, res.body, tt.code, tt.body)
		}
		if got := res.header.Get("Access-Control-Allow-Origin"); got != "*" {
			t.Errorf("%s: access-control-allow-origin is %q", tt.method, got)
		}
		if tt.method == "OPTIONS" && tt.body == "" {
			for name, want := range map[string]string{
				"Access-Control-Allow-Headers": "content-type, x-a",
				"Access-Control-Allow-Methods": "get, post, options",
				"Access-Control-Max-Age":       "3600",
			} {
				if got := res.header.Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
		}
	}
}

func TestLongPollBodyLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit = 200
		n := newPollNode(t, nil, MountOptions{MaxFrame: limit})
		c := n.open(t)
		c.join("room:1")
		ping := func(size int) string {
			text := `["1","2","room:1","ping",{"x":""}]`
			return strings.Replace(text, `""`, `"`+strings.Repeat("x", size-len(text))+`"`, 1)
		}
		c.want(c.post(ping(limit)), 200)
		c.want(c.batch(ping(limit), ping(limit)), 200)
		for name, res := range map[string]pollResult{
			"text":  c.post(ping(limit + 1)),
			"line":  c.batch(ping(limit), ping(limit+1)),
			"batch": c.batch(ping(limit), ping(limit), ping(limit), ping(limit)),
		} {
			if res.code != http.StatusRequestEntityTooLarge || res.body != `{"errors":{"detail":"Request Entity Too Large"}}` {
				t.Errorf("%s: got %d %s", name, res.code, res.body)
			}
		}
		synctest.Wait()
		if got := len(c.get().Messages); got != 3 { // and the session lives on
			t.Fatalf("%d messages came, want 3", got)
		}
	})
}
