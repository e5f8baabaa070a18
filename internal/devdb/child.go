package devdb

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// child is a started process and the goroutine that waits for it.
type child struct {
	pid    int
	exited chan struct{} // closed when it has ended
	err    error         // how it ended; read after exited
}

// startChild starts the command and waits for it on the same locked thread,
// because the parent death signal is tied to the thread that forks.
func startChild(cmd *exec.Cmd) (*child, error) {
	c := &child{exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			c.pid = cmd.Process.Pid
		}
		started <- err
		if err != nil {
			return
		}
		c.err = cmd.Wait()
		close(c.exited)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("devdb: start %s: %w", cmd.Path, err)
	}
	return c, nil
}

// runChild runs the command to its end and kills its whole group when ctx ends.
func runChild(ctx context.Context, cmd *exec.Cmd) error {
	c, err := startChild(cmd)
	if err != nil {
		return err
	}
	select {
	case <-c.exited:
		return c.err
	case <-ctx.Done():
		killGroup(c.pid)
		<-c.exited
		return context.Cause(ctx)
	}
}

// childEnv is our environment without PG* variables, which would change what
// initdb and postgres do, and in the C locale, which macOS needs to fork safely.
func childEnv() []string {
	env := []string{"LC_ALL=C"}
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "PG") && !strings.HasPrefix(kv, "LC_") && !strings.HasPrefix(kv, "LANG") {
			env = append(env, kv)
		}
	}
	return env
}
