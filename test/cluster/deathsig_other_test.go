//go:build !linux

package cluster

import "syscall"

// dieWithParent is what only Linux can do.
func dieWithParent() *syscall.SysProcAttr { return nil }
