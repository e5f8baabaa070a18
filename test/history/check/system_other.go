//go:build !linux

package main

import "syscall"

// dieWithParent is what only Linux can do.
func dieWithParent() *syscall.SysProcAttr { return nil }

// limitReceiveBuffer leaves it as it is: clients fall behind less often.
func limitReceiveBuffer(string, string, syscall.RawConn) error { return nil }
