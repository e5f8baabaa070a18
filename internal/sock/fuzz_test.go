package sock

import (
	"io"
	"net"
	"testing"
)

// FuzzInbound sends arbitrary bytes behind a handshake. They may end their own
// connection only, and what comes back is whole frames.
func FuzzInbound(f *testing.F) {
	f.Add([]byte{})
	f.Add(maskedFrame(0x81, []byte("hello")))
	f.Add(append(maskedFrame(0x01, []byte("he")), maskedFrame(0x80, []byte("llo"))...))
	f.Add(append(maskedFrame(0x89, []byte("ping")), maskedFrame(0x88, []byte{3, 232})...))
	f.Add(append(maskedFrame(0x89, nil), 0x81, 0xfe))
	f.Add([]byte{0x81, 0xff, 0, 0, 0, 0, 0, 0x20, 0, 0, 1, 2, 3, 4})
	f.Add(NewFrame([]byte("unmasked"), false))
	s := startServer(f, testOptions{cfg: Config{ReadLimit: 10_000}})
	witness := dial(f, s.addr)
	f.Fuzz(func(t *testing.T, data []byte) {
		nc, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		c := upgrade(t, nc, data)
		if err := nc.(*net.TCPConn).CloseWrite(); err != nil {
			return // the server was faster
		}
		for {
			op, _, err := c.next()
			if err != nil {
				break
			}
			if op == opClose {
				if _, _, err := c.next(); err == nil {
					t.Fatal("a frame behind a Close frame")
				}
				break
			}
		}
		_, _ = io.Copy(io.Discard, nc)
		_ = nc.Close()
		witness.t = t
		witness.send(opText, "alive")
		witness.want(opText, "alive")
	})
}
