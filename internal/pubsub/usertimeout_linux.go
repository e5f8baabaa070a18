package pubsub

import (
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// userTimeout is how long sent data may stay unacknowledged.
const userTimeout = 10 * time.Second

// setUserTimeout ends a connection whose data nobody acknowledges, which
// keepalives do not do while data is under way.
func setUserTimeout(network, _ string, raw syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") { // a Unix socket
		return nil
	}
	var err error
	if ctrlErr := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout.Milliseconds()))
	}); ctrlErr != nil {
		return ctrlErr
	}
	return err
}
