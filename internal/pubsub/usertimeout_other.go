//go:build !linux

package pubsub

import "syscall"

// setUserTimeout does nothing: the option is Linux's. Deadlines and heartbeats
// find a dead connection too.
func setUserTimeout(string, string, syscall.RawConn) error { return nil }
