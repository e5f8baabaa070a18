package main

import (
	"net"
	"regexp"
	"strings"
	"testing"
	"time"
)

// password must never be printed.
const password = "hunter2secret"

// nowhere is a good URL of a database that nobody serves: what is checked before
// the database needs none.
const nowhere = "postgres://app:" + password + "@127.0.0.1:1/app"

func TestBadSettings(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = busy.Close() }) // after the subtests
	_, busyPort, err := net.SplitHostPort(busy.Addr().String())
	if err != nil {
		t.Fatal(err)
	}

	for _, c := range []struct {
		name string
		env  settings // on top of good ones; "NAME=" removes one
		args []string // default: serve
		want string   // a pattern of the output
	}{
		{name: "no database", env: settings{"DATABASE_URL="}, want: `DATABASE_URL\)? is (missing|not set).*postgres://`},
		{name: "no database, migrate", env: settings{"DATABASE_URL="}, args: []string{"migrate", "up"}, want: `DATABASE_URL is not set.*postgres://`},
		{name: "no database, broadcast", env: settings{"DATABASE_URL="}, args: []string{"broadcast", "room:lobby", "x"}, want: `DATABASE_URL is not set`},
		{name: "another database", env: settings{"DATABASE_URL=mysql://app:" + password + "@127.0.0.1/app"}, want: `DATABASE_URL is not the URL of a Postgres`},
		{name: "another database, migrate", env: settings{"DATABASE_URL=mysql://app:" + password + "@127.0.0.1/app"}, args: []string{"migrate", "status"}, want: `DATABASE_URL is not the URL of a Postgres`},
		{name: "password with special characters", env: settings{"DATABASE_URL=postgres://app:" + password + "/%zz@127.0.0.1/app"}, want: `DATABASE_URL is not the URL of a Postgres.*%XX`},
		{name: "bad sslmode", env: settings{"DATABASE_URL=" + nowhere + "?sslmode=perhaps"}, want: `DATABASE_URL: .*sslmode`},
		{name: "bad direct URL", env: settings{"DATABASE_DIRECT_URL=localhost:5432"}, want: `DATABASE_DIRECT_URL is not the URL of a Postgres`},
		{name: "nobody serves the database", want: `connection refused\n(.*\n)*Check DATABASE_URL`},
		{name: "nobody serves the database, disconnect", args: []string{"disconnect", "user_socket:1"}, want: `connection refused\n(.*\n)*Check DATABASE_URL`},
		{name: "direct URL only, dev", env: settings{"DATABASE_URL=", "DATABASE_DIRECT_URL=" + nowhere}, args: []string{"dev"}, want: `DATABASE_DIRECT_URL is set but DATABASE_URL is not`},
		{name: "bad schema", env: settings{"DATABASE_SCHEMA=Trunk Line"}, want: `schema name "Trunk Line"`},
		{name: "small pool", env: settings{"DATABASE_POOL_SIZE=1"}, want: `PoolSize \(DATABASE_POOL_SIZE\) is 1: want at least 2`},
		{name: "pool is no number", env: settings{"DATABASE_POOL_SIZE=many"}, want: `DATABASE_POOL_SIZE="many"`},

		{name: "no secret", env: settings{"SECRET_KEY_BASE="}, want: `SECRET_KEY_BASE\) is missing.*openssl`},
		{name: "short secret", env: settings{"SECRET_KEY_BASE=short"}, want: `SECRET_KEY_BASE has 5 bytes, it needs at least 20`},
		{name: "no secret, token", env: settings{"SECRET_KEY_BASE="}, args: []string{"token", "sign", "1"}, want: `SECRET_KEY_BASE is not set`},
		{name: "short secret, token", env: settings{"SECRET_KEY_BASE=short"}, args: []string{"token", "verify", "x"}, want: `SECRET_KEY_BASE has 5 bytes`},

		{name: "port is no number", env: settings{"PORT=http"}, want: `--port.*PORT="http"`},
		{name: "port is too large", env: settings{"PORT=70000"}, want: `PORT 70000.*invalid port`},
		{name: "port is in use", env: settings{"PORT=" + busyPort}, want: `PORT ` + busyPort + `.*address already in use`},
		{name: "bad address", env: settings{"BIND=300.1.1.1"}, want: `BIND "300\.1\.1\.1"`},
		{name: "bad origin", env: settings{"CHECK_ORIGIN=app.example"}, want: `CHECK_ORIGIN: allowed origin "app\.example": want`},
		{name: "any origin and another", env: settings{"CHECK_ORIGIN=any,//app.example"}, want: `CHECK_ORIGIN: allowed origin "any"`},
		{name: "bad log level", env: settings{"LOG_LEVEL=loud"}, want: `LOG_LEVEL="loud"`},
		{name: "bad log format", env: settings{"LOG_FORMAT=xml"}, want: `--log-format must be one of "text","json"`},
		{name: "queue is negative", env: settings{"QUEUE_BYTES=-1"}, want: `QueueBytes \(QUEUE_BYTES\) is negative`},
		{name: "drain time is negative", env: settings{"DRAIN_TIMEOUT=-1s"}, want: `DrainTimeout \(DRAIN_TIMEOUT\) is negative`},
		{name: "time without unit", env: settings{"DRAIN_TIMEOUT=5"}, want: `DRAIN_TIMEOUT="5"`},
		{name: "neither true nor false", env: settings{"DEMO=maybe"}, want: `DEMO="maybe"`},

		{name: "two JWT keys", env: settings{"JWT_SECRET=" + secret, "JWT_JWKS_URL=https://issuer.example/jwks"}, want: `JWT settings: .*`},
		{name: "short JWT secret", env: settings{"JWT_SECRET=short"}, want: `JWT settings: .*32`},
		{name: "no such key file", env: settings{"JWT_PUBLIC_KEY_FILE=/no/such.pem"}, want: `/no/such\.pem: no such file`},
		{name: "unknown JWT algorithm", env: settings{"JWT_SECRET=" + secret, "JWT_ALGORITHMS=none"}, want: `JWT settings: .*none`},
		{name: "JWT settings without a key", env: settings{"JWT_ISSUER=https://issuer.example"}, want: `JWT_ISSUER.*without a key`},

		{name: "short admin token", env: settings{"ADMIN_TOKEN=short"}, want: `ADMIN_TOKEN\) has 5 bytes: want at least 20`},
		{name: "no database, jobs", env: settings{"DATABASE_URL="}, args: []string{"jobs", "list"}, want: `DATABASE_URL is not set`},
		{name: "nobody serves the database, jobs", args: []string{"jobs", "retry", "1"}, want: `connection refused\n(.*\n)*Check DATABASE_URL`},
		{name: "no such limit", args: []string{"jobs", "list", "--limit=0"}, want: `limit 0: want at least 1`},
		{name: "id is no number", args: []string{"jobs", "cancel", "seven"}, want: `expected a valid 64 bit int but got "seven"`},

		{name: "webhooks without names", env: settings{"WEBHOOKS=https://hooks.example"}, want: `WEBHOOKS.*https://hooks\.example`},
		{name: "webhooks without secret", env: settings{"WEBHOOKS=billing=https://hooks.example"}, want: `\(WEBHOOKS\): endpoint "billing": secret \(WEBHOOK_SECRET\): it is missing`},
		{name: "webhook is no URL", env: settings{"WEBHOOKS=billing=hooks.example", "WEBHOOK_SECRET=" + webhookSecret}, want: `\(WEBHOOKS\): endpoint "billing": URL: want https://`},
		{name: "departures to nobody", env: settings{"PRESENCE_LEFT_WEBHOOK=app"}, want: `PRESENCE_LEFT_WEBHOOK is "app": WEBHOOKS has no endpoint`},
		{name: "negative grace", env: settings{"PRESENCE_GRACE=-1s"}, want: `PRESENCE_GRACE is -1s: want 0s or more`},
		{name: "private webhook", env: settings{"WEBHOOKS=billing=http://127.0.0.1/", "WEBHOOK_SECRET=" + webhookSecret}, want: `endpoint "billing": .*127\.0\.0\.1 is loopback.*WEBHOOK_ALLOW_PRIVATE`},
		{name: "webhook secret alone", env: settings{"WEBHOOK_SECRET=" + webhookSecret}, want: `WEBHOOK_SECRET.* without an endpoint`},

		{name: "no command", args: []string{}, want: `expected one of "serve", "dev"`},
		{name: "unknown command", args: []string{"server"}, want: `unexpected argument server`},
		{name: "unknown flag", args: []string{"serve", "--prot", "1"}, want: `unknown flag --prot, did you mean "--port"`},
		{name: "too many arguments", args: []string{"serve", "now"}, want: `unexpected argument now`},
		{name: "payload is no object", args: []string{"broadcast", "room:lobby", "x", "[1]"}, want: `payload is not a JSON object: \[1\]`},
		{name: "payload is null", args: []string{"broadcast", "room:lobby", "x", "null"}, want: `payload is not a JSON object: null`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			env := settings{"DATABASE_URL=" + nowhere, "SECRET_KEY_BASE=" + secret, "PORT=0", "BIND=127.0.0.1"}
			if c.args == nil {
				c.args = []string{"serve"}
			}
			code, out := run(t, append(env, c.env...), c.args...) // the last of a name counts
			if code == 0 || code == 2 {                           // 2 is Go's code for a panic
				t.Errorf("exit code %d", code)
			}
			if !regexp.MustCompile(c.want).MatchString(out) {
				t.Errorf("output does not match %q:\n%s", c.want, out)
			}
			if strings.Contains(out, password) {
				t.Errorf("output holds the password:\n%s", out)
			}
			if lines := strings.Count(out, "\n"); lines > 10 {
				t.Errorf("%d lines, more than anybody reads:\n%s", lines, out)
			}
		})
	}
}

// A server that takes the connection and never answers looks like a black hole.
func TestSilentDatabaseIsBounded(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var held []net.Conn // the garbage collector would close them
		for {
			conn, err := silent.Accept()
			if err != nil {
				break
			}
			held = append(held, conn)
		}
		for _, conn := range held {
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = silent.Close()
		<-ended
	})
	database := "postgres://app:" + password + "@" + silent.Addr().String() + "/app?sslmode=disable"
	p := start(t, settings{"DATABASE_URL=" + database, "SECRET_KEY_BASE=" + secret, "PORT=0"}, "serve")
	if code := p.exitCode(45 * time.Second); code != 1 {
		t.Errorf("exit code %d", code)
	}
	if out := p.out.String(); !strings.Contains(out, "Check DATABASE_URL") || strings.Contains(out, password) {
		t.Errorf("output: %s", out)
	}
}
