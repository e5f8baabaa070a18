package cluster

import (
	"bytes"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// stopTimeout is what docs/operations.md asks to allow beyond the drain: a node
// whose connections to Postgres died in silence waits for their timeouts.
const stopTimeout = 24 * time.Second

// A process is a running program with its output.
type process struct {
	cmd    *exec.Cmd
	output *output
	exited chan struct{} // closed when it has ended
	err    error         // how it ended; read after exited
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
	p := &process{cmd: cmd, output: &output{}, exited: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.output, p.output
	cmd.SysProcAttr = dieWithParent()
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // dieWithParent is tied to the thread that forks
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.exited)
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("start %s: %v", cmd.Path, err)
	}
	t.Cleanup(func() {
		if p.running() {
			p.terminate(t)
			if err := p.wait(t, stopTimeout); err != nil {
				t.Errorf("%s ended after SIGTERM with %v", cmd.Path, err)
			}
		}
		if bytes.Contains([]byte(p.output.String()), []byte("DATA RACE")) {
			t.Errorf("%s has a data race", cmd.Path)
		}
		if t.Failed() {
			t.Logf("output of %s, process %d:\n%s", cmd.Path, cmd.Process.Pid, p.output)
		}
	})
	return p
}

func (p *process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

func (p *process) terminate(t testing.TB) { p.signal(t, syscall.SIGTERM) }

// kill ends the process as kill -9 does, and returns when it is gone.
func (p *process) kill(t testing.TB) {
	t.Helper()
	p.signal(t, syscall.SIGKILL)
	_ = p.wait(t, stopTimeout) // "signal: killed"
}

func (p *process) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("%v to process %d: %v", s, p.cmd.Process.Pid, err)
	}
}

// wait returns how the process ended. One that does not within the limit is an
// error of the test, and killed.
func (p *process) wait(t testing.TB, limit time.Duration) error {
	t.Helper()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.exited:
	case <-timer.C:
		t.Errorf("process %d has not ended within %v", p.cmd.Process.Pid, limit)
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
	return p.err
}
