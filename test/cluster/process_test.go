package cluster

import (
	"bytes"
	"errors"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/trunkline/trunkline/test/harness"
)

// stopTimeout is what docs/operations.md asks to allow beyond the drain: a node
// whose connections to Postgres died in silence waits for their timeouts.
const stopTimeout = 24 * time.Second

// A process is a running program with its output.
type process struct {
	*harness.Process
	output *output
}

// output collects what a process writes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// run starts the command. At the end of the test it is asked to end, if it has
// not yet, and its output is logged if the test has failed.
func run(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{output: &output{}}
	cmd.Stdout, cmd.Stderr = p.output, p.output
	var err error
	if p.Process, err = harness.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.Running() {
			p.terminate(t)
			if err := p.wait(t, stopTimeout); err != nil {
				t.Errorf("%s ended after SIGTERM with %v", cmd.Path, err)
			}
		}
		if bytes.Contains([]byte(p.output.String()), []byte("DATA RACE")) {
			t.Errorf("%s has a data race", cmd.Path)
		}
		if t.Failed() {
			t.Logf("output of %s, process %d:\n%s", cmd.Path, p.PID(), p.output)
		}
	})
	return p
}

func (p *process) terminate(t testing.TB) {
	t.Helper()
	if err := p.Terminate(); err != nil {
		t.Fatalf("SIGTERM to process %d: %v", p.PID(), err)
	}
}

// wait returns how the process ended. One that does not within the limit is an
// error of the test, and killed.
func (p *process) wait(t testing.TB, limit time.Duration) error {
	t.Helper()
	err := p.Wait(limit)
	if errors.Is(err, harness.ErrStuck) {
		t.Error(err)
	}
	return err
}
