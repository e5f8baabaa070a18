package main

import "syscall"

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
