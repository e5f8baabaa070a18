package cluster

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// dieWithParent makes the kernel end the child when the thread that forked it
// ends, so that a test binary that is killed leaves no servers behind.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// residentBytes is the most memory that the process has had in use so far.
func residentBytes(t testing.TB, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	var kib int
	if _, err := fmt.Sscanf(after, "%d kB", &kib); err != nil {
		t.Fatalf("no peak in %s: %v", status, err)
	}
	return kib << 10
}
