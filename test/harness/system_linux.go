package harness

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
	"time"
)

// dieWithParent makes the kernel end the child when the thread that forked it
// ends, so that a test that is killed leaves no servers behind.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// tick is the unit of times in /proc.
const tick = 10 * time.Millisecond

// cpuTime is what the process has used so far; 0 once it has ended.
func cpuTime(pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// After the name, in parentheses: state, then ten numbers, then ours.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	var user, system int
	if len(fields) < 13 {
		return 0
	}
	if _, err := fmt.Sscan(string(fields[11])+" "+string(fields[12]), &user, &system); err != nil {
		return 0
	}
	return time.Duration(user+system) * tick
}
