package devdb

import "syscall"

// dieWithParent makes the kernel send SIGINT, Postgres's fast shutdown, when the
// thread that forked the child ends. startChild keeps that thread.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGINT }
