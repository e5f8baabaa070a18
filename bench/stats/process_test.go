package stats

import (
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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
	testAnonymous(t, pid)
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

// Anonymous grows by what is written to, and leaves out the program.
func testAnonymous(t *testing.T, pid int) {
	t.Helper()
	before, err := Anonymous(pid)
	if err != nil {
		t.Fatal(err)
	}
	const size = 32 << 20
	memory, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(memory) }()
	for i := 0; i < size; i += os.Getpagesize() {
		memory[i] = 1
	}
	after, err := Anonymous(pid)
	if err != nil {
		t.Fatal(err)
	}
	if grown := after - before; grown < size*9/10 || grown > size*2 {
		t.Errorf("%d bytes were written to, anonymous memory grew by %d", size, grown)
	}
	if resident, err := RSS(pid); err != nil || after >= resident {
		t.Errorf("anonymous %d, resident %d, %v", after, resident, err)
	}
	if _, err := memoryOf(pid, "status", "VmNothing"); err == nil {
		t.Error("a field that is not there was read")
	}
}
