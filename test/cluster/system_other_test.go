//go:build !linux

package cluster

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// residentBytes is the memory that the process has in use now.
func residentBytes(t testing.TB, pid int) int {
	t.Helper()
	out, err := exec.Command("ps", "-o", "rss=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		t.Fatal(err)
	}
	kib, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
