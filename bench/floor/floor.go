//go:build linux

package floor

import (
	"fmt"
	"io"
	"net"
	"os"
)

// Run listens at two addresses, prints them on one line, first that of the
// broadcasts, then that of the echo, and serves until in ends.
func Run(in io.Reader, out io.Writer) error {
	var listeners [2]*net.TCPListener
	for i := range listeners {
		l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return err
		}
		listeners[i] = l
	}
	if _, err := fmt.Fprintln(out, listeners[0].Addr(), listeners[1].Addr()); err != nil {
		return err
	}
	failed := make(chan error, 2)
	go func() { failed <- broadcast(listeners[0]) }() // the process's end ends them
	go func() { failed <- echo(listeners[1]) }()
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, in)
		ended <- err
	}()
	select {
	case err := <-failed:
		return err
	case err := <-ended:
		return err
	}
}

// echo sends back what comes, a goroutine for each client.
func echo(listener net.Listener) error {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			buffer := make([]byte, 4096)
			for {
				n, err := conn.Read(buffer)
				if err != nil {
					return // the client went
				}
				if _, err := conn.Write(buffer[:n]); err != nil {
					fmt.Fprintln(os.Stderr, "echo:", err)
					return
				}
			}
		}()
	}
}
