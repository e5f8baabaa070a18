package cluster

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

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
