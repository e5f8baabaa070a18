//go:build !linux

package harness

import (
	"syscall"
	"time"
)

// dieWithParent is what only Linux can do.
func dieWithParent() *syscall.SysProcAttr { return nil }

// cpuTime is told by Linux only.
func cpuTime(int) time.Duration { return 0 }
