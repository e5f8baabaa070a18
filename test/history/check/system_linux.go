package main

import "syscall"

// dieWithParent makes the kernel end the child when the thread that forked it
// ends, so that a checker that is killed leaves no servers behind.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// limitReceiveBuffer is for net.Dialer.Control: before the connection is made,
// as its window would stay as large as it was then.
func limitReceiveBuffer(_, _ string, conn syscall.RawConn) error {
	var err error
	controlErr := conn.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, receiveBuffer)
	})
	if controlErr != nil {
		return controlErr
	}
	return err
}
