package harness

import (
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// startEcho echoes on a unix socket.
func startEcho(t *testing.T) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "echo")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn) // until the end
			}()
		}
	}()
	return socket
}

func TestLink(t *testing.T) {
	t.Parallel()
	echo := startEcho(t)
	l, err := NewLink(func() (net.Conn, error) { return net.Dial("unix", echo) })
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dial := func() net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", l.Address())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	send := func(conn net.Conn, text string) {
		t.Helper()
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
	}
	receive := func(conn net.Conn, want string, limit time.Duration) error {
		t.Helper()
		if err := conn.SetReadDeadline(time.Now().Add(limit)); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(conn, got); err != nil {
			return err
		}
		if string(got) != want {
			t.Errorf("got %q, want %q", got, want)
		}
		return nil
	}
	const hole = 100 * time.Millisecond

	first := dial()
	send(first, "one")
	if err := receive(first, "one", patience); err != nil {
		t.Fatal(err)
	}
	l.Freeze()
	send(first, "two")
	if err := receive(first, "two", hole); err == nil {
		t.Error("a frozen link passes something")
	}
	second := dial() // it takes a network to connect, too
	send(second, "three")
	if err := receive(second, "three", hole); err == nil {
		t.Error("a frozen link makes connections")
	}
	l.Thaw()
	for conn, want := range map[net.Conn]string{first: "two", second: "three"} {
		if err := receive(conn, want, patience); err != nil {
			t.Errorf("what was under way is lost: %v", err)
		}
	}

	l.Freeze()
	send(first, "four")
	l.Renew()
	if err := receive(first, "four", hole); err == nil {
		t.Error("an old connection passes something")
	}
	third := dial()
	send(third, "five")
	if err := receive(third, "five", patience); err != nil {
		t.Errorf("a new connection passes nothing: %v", err)
	}
}
