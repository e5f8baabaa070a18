package heapfloor

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

func TestPercentage(t *testing.T) {
	t.Parallel()
	tests := []struct {
		live, base uint64
		want       int
	}{
		{0, 0, usual},
		{1 << 20, 1 << 20, 3100},
		{1 << 20, 2 << 20, 1550},
		{1 << 10, 1 << 10, 10_000},
		{16 << 20, 16 << 20, usual},
		{15 << 20, 17 << 20, usual},
		{Bytes, Bytes, usual},
		{1 << 30, 1 << 30, usual},
	}
	for _, test := range tests {
		if got := percentage(test.live, test.base); got != test.want {
			t.Errorf("%d live, %d in all: %d, want %d", test.live, test.base, got, test.want)
		}
	}
}

// TestKeep looks at the percentage of a process of its own, with a small heap and
// then with a large one.
func TestKeep(t *testing.T) {
	t.Parallel()
	if os.Getenv("HEAPFLOOR_TEST") != "" {
		inProcess()
		return
	}
	for env, want := range map[string]string{"GOGC=": "raised usual", "GOGC=100": "usual usual"} {
		t.Run(env, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], "-test.run=^TestKeep$")
			cmd.Env = append(os.Environ(), "HEAPFLOOR_TEST=1", env)
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.HasPrefix(string(out), want) {
				t.Errorf("%v: %s, want %s", err, out, want)
			}
		})
	}
}

func inProcess() {
	Keep()
	fmt.Print(settled(func(p int) bool { return p > 2*usual }, "raised"), " ")
	kept := make([][]byte, 64)
	for i := range kept {
		kept[i] = make([]byte, 1<<20)
	}
	fmt.Println(settled(func(p int) bool { return p == usual }, "usual"))
	runtime.KeepAlive(kept)
}

// settled collects until the percentage is as wanted, or for a while.
func settled(wanted func(int) bool, name string) string {
	for range 100 {
		runtime.GC()
		time.Sleep(time.Millisecond) // finalizers have a goroutine of their own
		percent := debug.SetGCPercent(usual)
		debug.SetGCPercent(percent)
		if wanted(percent) {
			return name
		}
	}
	return "usual"
}
