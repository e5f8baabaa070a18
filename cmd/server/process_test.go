package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// commandTimeout bounds every command that ends by itself.
	commandTimeout = time.Minute
	// readyTimeout and stopTimeout bound the start and the end of a server, on a
	// machine that is busy with other tests.
	readyTimeout = 2 * time.Minute
	stopTimeout  = time.Minute
)

const secret = "0123456789abcdef0123456789abcdef"

// settings are environment variables, "NAME=value".
type settings []string

// process is a run of the program.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	out    output // standard output and error
	exited chan struct{}
	err    error // how it ended; read after exited
}

// start runs the program with these settings and no others of the tests' own
// environment.
func start(t *testing.T, env settings, args ...string) *process {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(path, args...), exited: make(chan struct{})}
	p.cmd.Env = append([]string{runProgram + "=1", "PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	p.out.changed = make(chan struct{})
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.exited
		if t.Failed() {
			t.Logf("output of %v:\n%s", args, p.out.String())
		}
	})
	return p
}

// run starts the program, waits for its end and returns its exit code and output.
func run(t *testing.T, env settings, args ...string) (code int, out string) {
	t.Helper()
	p := start(t, env, args...)
	return p.exitCode(commandTimeout), p.out.String()
}

// mustRun is run for commands that must succeed.
func mustRun(t *testing.T, env settings, args ...string) (out string) {
	t.Helper()
	code, out := run(t, env, args...)
	if code != 0 {
		t.Fatalf("%v: exit code %d: %s", args, code, out)
	}
	return out
}

func (p *process) exitCode(within time.Duration) int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(within):
		p.t.Fatalf("%v still runs after %v", p.cmd.Args[1:], within)
	}
	var exit *exec.ExitError
	if p.err != nil && !errors.As(p.err, &exit) {
		p.t.Fatal(p.err)
	}
	return p.cmd.ProcessState.ExitCode()
}

// stop sends SIGTERM and returns the exit code.
func (p *process) stop() int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	return p.exitCode(stopTimeout)
}

// await waits until the output matches and returns the first group.
func (p *process) await(pattern string) string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	ctx, cancel := context.WithTimeout(p.t.Context(), readyTimeout)
	defer cancel()
	for {
		text, changed := p.out.read()
		if m := re.FindStringSubmatch(text); m != nil {
			return m[len(m)-1]
		}
		select {
		case <-changed:
		case <-p.exited:
			if text, _ := p.out.read(); !re.MatchString(text) {
				p.t.Fatalf("it ended without printing %s", pattern)
			}
		case <-ctx.Done():
			p.t.Fatalf("waited %v for %s", readyTimeout, pattern)
		}
	}
}

// node is a served node.
type node struct {
	*process
	port string
}

// serve starts a node on a free port and waits until it is ready.
func serve(t *testing.T, databaseURL string, env ...string) node {
	t.Helper()
	n := begin(t, databaseURL, env...)
	n.ready()
	return *n
}

// begin starts a node on a free port.
func begin(t *testing.T, databaseURL string, env ...string) *node {
	t.Helper()
	env = append(settings{
		"DATABASE_URL=" + databaseURL, "SECRET_KEY_BASE=" + secret, "PORT=0", "BIND=127.0.0.1",
	}, env...)
	return &node{process: start(t, env, "serve")}
}

func (n *node) ready() { n.port = n.await(`msg=serving address=127\.0\.0\.1:(\d+)`) }

func (n *node) url() string { return fmt.Sprintf("http://127.0.0.1:%s", n.port) }

// output keeps what a process printed.
type output struct {
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{} // closed and replaced by each write
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.text.Write(b)
}

func (o *output) read() (text string, changed <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String(), o.changed
}

func (o *output) String() string {
	text, _ := o.read()
	return text
}
