package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/trunkline/trunkline/internal/pgtest"
)

func TestVersion(t *testing.T) {
	t.Parallel()
	if out := mustRun(t, nil, "version"); !regexp.MustCompile(`^trunkline \S+.* go1\.\d+`).MatchString(out) {
		t.Errorf("version: %q", out)
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	env := settings{"SECRET_KEY_BASE=" + secret}
	token := strings.TrimSpace(mustRun(t, env, "token", "sign", "user 42"))
	if out := mustRun(t, env, "token", "verify", token); out != "user 42\n" {
		t.Errorf("verify: %q", out)
	}
	for _, c := range []struct {
		name string
		env  settings
		args []string
		want string
	}{
		{"another secret", settings{"SECRET_KEY_BASE=another " + secret}, []string{token}, "invalid"},
		{"another salt", env, []string{"--salt=session", token}, "invalid"},
		{"changed", env, []string{token + "x"}, "invalid"},
		{"expired", env, []string{strings.TrimSpace(mustRun(t, env, "token", "sign", "--max-age=1ms", "42"))}, "expired"},
		{"nothing on standard input", env, nil, "invalid|missing"},
	} {
		code, out := run(t, c.env, append([]string{"token", "verify"}, c.args...)...)
		if code != 1 || !regexp.MustCompile(c.want).MatchString(out) {
			t.Errorf("%s: exit code %d: %s", c.name, code, out)
		}
		if strings.Contains(out, token) {
			t.Errorf("%s: the token is printed: %s", c.name, out)
		}
	}
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	env := settings{"DATABASE_URL=" + pgtest.EmptyURL(t)}
	status := func() (applied, pending int) {
		out := mustRun(t, env, "migrate", "status")
		return strings.Count(out, "applied"), strings.Count(out, "pending")
	}
	applied, all := status()
	if applied != 0 || all == 0 {
		t.Fatalf("empty database: %d applied, %d pending", applied, all)
	}
	mustRun(t, env, "migrate", "up")
	mustRun(t, env, "migrate", "up") // nothing to do is no error
	if applied, pending := status(); applied != all || pending != 0 {
		t.Errorf("after up: %d applied, %d pending, want %d and 0", applied, pending, all)
	}
	for undone := 1; undone <= all; undone++ {
		mustRun(t, env, "migrate", "down")
		if applied, _ := status(); applied != all-undone {
			t.Errorf("after %d down: %d applied of %d", undone, applied, all)
		}
	}
	if code, out := run(t, env, "migrate", "down"); code != 1 || !strings.Contains(out, "no migration is applied") {
		t.Errorf("down without anything to undo: exit code %d: %s", code, out)
	}
}

func TestBroadcastAndDisconnect(t *testing.T) {
	t.Parallel()
	database := pgtest.EmptyURL(t)
	a, b := serve(t, database), serve(t, database)
	env := settings{"DATABASE_URL=" + database}
	sign := func(user string) string {
		return mustRun(t, settings{"SECRET_KEY_BASE=" + secret}, "token", "sign", user)
	}
	ana, ben := join(t, a, sign("ana"), "room:lobby"), join(t, b, sign("ben"), "room:lobby")

	mustRun(t, env, "broadcast", "room:lobby", "announcement", `{"body":"<grüße>"}`)
	for _, l := range []lobby{ana, ben} {
		if got := string(l.hear("announcement")); got != `{"body":"<grüße>"}` {
			t.Errorf("announcement: %s", got)
		}
	}
	mustRun(t, env, "broadcast", "room:lobby", "empty")
	if got := string(ana.hear("empty")); got != "{}" {
		t.Errorf("without payload: %s", got)
	}

	mustRun(t, env, "disconnect", "user_socket:ben")
	if code := ben.closed(); code != websocket.StatusGoingAway {
		t.Errorf("close code of the disconnected client: %d, want 1001", code)
	}
	mustRun(t, env, "broadcast", "room:lobby", "after")
	ana.hear("after")
}

func TestBroadcastNeedsTheSchema(t *testing.T) {
	t.Parallel()
	code, out := run(t, settings{"DATABASE_URL=" + pgtest.EmptyURL(t)}, "broadcast", "room:lobby", "x", `{"body":"`+strings.Repeat("x", 20_000)+`"}`)
	if code != 1 || strings.Contains(out, "panic") {
		t.Errorf("exit code %d: %s", code, out)
	}
}
