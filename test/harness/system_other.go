//go:build !linux

package harness

import "syscall"

// dieWithParent is what only Linux can do.
func dieWithParent() *syscall.SysProcAttr { return nil }
