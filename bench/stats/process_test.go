package stats

import (
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	t.Parallel()
	const line = "42 (a) b (c)) S 7 42 42 0 -1 4194560 100 200 3 4 11 22 33 44 20 0 9 0 100 1000 50"
	got, err := parseStat(line)
	want := stat{parent: 7, own: 33 * tick, reaped: 77 * tick}
	if err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	for _, bad := range []string{"", "42 (a) S 7", "42 (a) S x 42 42 0 -1 4194560 100 200 3 4 11 22 33 44 20"} {
		if _, err := parseStat(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// The figures of this process, and of a child of it while it lives.
func TestOwnProcess(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Fatal("the load tool needs /proc")
	}
	pid := os.Getpid()
	if rss, err := RSS(pid); err != nil || rss < 1<<20 {
		t.Errorf("RSS is %d, %v", rss, err)
	}
	if n, err := Descriptors(pid); err != nil || n < 3 {
		t.Errorf("%d descriptors, %v", n, err)
	}
	child := exec.Command("sh", "-c", "while :; do :; done")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = child.Process.Kill(); _ = child.Wait() }()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		alone, err := CPU(child.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		tree, err := TreeCPU(pid)
		if err != nil {
			t.Fatal(err)
		}
		if alone >= 50*time.Millisecond && tree >= alone {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the child has used %v, the tree %v", alone, tree)
		}
	}
}
