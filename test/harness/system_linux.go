package harness

import "syscall"

// dieWithParent makes the kernel end the child when the thread that forked it
// ends, so that a test that is killed leaves no servers behind.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
