//go:build linux

package load

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A fakeServer speaks enough of WebSockets and channels to be driven. send is
// asked for what each client gets of each broadcast.
type fakeServer struct {
	listener net.Listener
	working  sync.WaitGroup
	send     func(client, broadcast int, frame []byte) [][]byte

	mu         sync.Mutex
	clients    []net.Conn
	broadcasts int
}

func startServer(t *testing.T, send func(client, broadcast int, frame []byte) [][]byte) *fakeServer {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &fakeServer{listener: listener, send: send}
	if s.send == nil {
		s.send = func(_, _ int, frame []byte) [][]byte { return [][]byte{frame} }
	}
	s.working.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.working.Go(func() { s.serve(t, conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		s.mu.Lock()
		for _, c := range s.clients {
			c.Close()
		}
		s.mu.Unlock()
		s.working.Wait()
	})
	return s
}

func (s *fakeServer) address() netip.AddrPort {
	return netip.MustParseAddrPort(s.listener.Addr().String())
}

// serve answers joins and echo, and broadcasts the rest.
func (s *fakeServer) serve(t *testing.T, conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	if _, err := http.ReadRequest(in); err != nil {
		t.Error(err)
		return
	}
	s.mu.Lock()
	s.clients = append(s.clients, conn)
	s.mu.Unlock()
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: %s\r\n\r\n", webSocketAccept)
	for {
		text, opcode, err := readMasked(in)
		if err != nil {
			return // the client went
		}
		if opcode == opClose {
			_, _ = conn.Write(appendFrame(nil, opClose, text, 0))
			return
		}
		var m [5]json.RawMessage
		if err := json.Unmarshal(text, &m); err != nil {
			t.Errorf("%s: %v", text, err)
			return
		}
		switch event := string(m[3]); event {
		case `"phx_join"`, `"echo"`:
			reply := fmt.Sprintf(`[%s,%s,%s,"phx_reply",{"response":%s,"status":"ok"}]`, m[0], m[1], m[2], m[4])
			s.mu.Lock()
			_, _ = conn.Write(appendFrame(nil, opText, []byte(reply), 0))
			s.mu.Unlock()
		default:
			s.broadcast([]byte(fmt.Sprintf(`[null,null,%s,"m",%s]`, m[2], m[4])))
		}
	}
}

func (s *fakeServer) broadcast(text []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	frame := appendFrame(nil, opText, text, 0)
	for i, c := range s.clients {
		for _, f := range s.send(i, s.broadcasts, frame) {
			_, _ = c.Write(f) // a client that went
		}
	}
	s.broadcasts++
}

// readMasked reads one frame of a client.
func readMasked(in io.Reader) (payload []byte, opcode byte, err error) {
	head := make([]byte, 2)
	if _, err := io.ReadFull(in, head); err != nil {
		return nil, 0, err
	}
	length := int(head[1] &^ maskBit)
	if length == 126 {
		long := make([]byte, 2)
		if _, err := io.ReadFull(in, long); err != nil {
			return nil, 0, err
		}
		length = int(long[0])<<8 | int(long[1])
	}
	body := make([]byte, 4+length)
	if _, err := io.ReadFull(in, body); err != nil {
		return nil, 0, err
	}
	for i := range body[4:] {
		body[4+i] ^= body[i%4]
	}
	return body[4:], head[0] & 0x0f, nil
}
