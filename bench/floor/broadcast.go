//go:build linux

package floor

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// broadcast accepts clients and writes all that one sends to every one of them,
// from one thread.
func broadcast(listener *net.TCPListener) error {
	file, err := listener.File()
	if err != nil {
		return err
	}
	defer file.Close()
	accepting := int(file.Fd())
	if err := unix.SetNonblock(accepting, true); err != nil {
		return err
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	add := func(fd int) error {
		return unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
	}
	if err := add(accepting); err != nil {
		return err
	}
	var clients []int
	events := make([]unix.EpollEvent, 256)
	buffer := make([]byte, 1<<20)
	for {
		n, err := unix.EpollWait(epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		for _, event := range events[:max(n, 0)] {
			if int(event.Fd) == accepting {
				for {
					fd, _, err := unix.Accept4(accepting, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
					if err != nil {
						break
					}
					if err := errors.Join(unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1), add(fd)); err != nil {
						return err
					}
					clients = append(clients, fd)
				}
				continue
			}
			got, err := unix.Read(int(event.Fd), buffer)
			if err != nil || got == 0 {
				clients = without(clients, int(event.Fd))
				continue
			}
			for _, fd := range clients {
				if wrote, err := unix.Write(fd, buffer[:got]); wrote != got {
					return fmt.Errorf("write: %d of %d bytes: %w", wrote, got, err)
				}
			}
		}
	}
}

// without closes a client and takes it out.
func without(clients []int, fd int) []int {
	_ = unix.Close(fd) // it was read only
	for i, c := range clients {
		if c == fd {
			clients[i] = clients[len(clients)-1]
			return clients[:len(clients)-1]
		}
	}
	return clients
}
