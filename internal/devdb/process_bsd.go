//go:build unix && !linux

package devdb

import "syscall"

// dieWithParent does nothing: these systems have no parent death signal. The
// next start finds the orphan and stops it.
func dieWithParent(*syscall.SysProcAttr) {}
