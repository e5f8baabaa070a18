package sock

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xa
)

// testClient speaks WebSocket byte by byte, also wrongly.
type testClient struct {
	t  testing.TB
	nc net.Conn
	br *bufio.Reader
}

const handshake = "GET /socket HTTP/1.1\r\nHost: test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

func dial(t testing.TB, addr string) *testClient {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return upgrade(t, nc, nil)
}

// upgrade does the handshake on nc, with behind sent in the same write.
func upgrade(t testing.TB, nc net.Conn, behind []byte) *testClient {
	t.Helper()
	t.Cleanup(func() { _ = nc.Close() })
	c := &testClient{t: t, nc: nc, br: bufio.NewReader(nc)}
	c.write(append([]byte(handshake), behind...))
	if status, _ := c.response(); status != http.StatusSwitchingProtocols {
		t.Fatalf("handshake answered %d", status)
	}
	return c
}

func (c *testClient) response() (status int, header http.Header) {
	c.t.Helper()
	c.deadline()
	resp, err := http.ReadResponse(c.br, nil)
	if err != nil {
		c.t.Fatalf("handshake: %v", err)
	}
	defer resp.Body.Close()
	return resp.StatusCode, resp.Header
}

func (c *testClient) deadline() { _ = c.nc.SetDeadline(time.Now().Add(eventLimit)) }

func (c *testClient) write(b []byte) {
	c.t.Helper()
	c.deadline()
	if _, err := c.nc.Write(b); err != nil {
		c.t.Fatalf("client writes: %v", err)
	}
}

// maskedFrame builds a client's frame; first holds FIN, RSV and opcode.
func maskedFrame(first byte, payload []byte) []byte {
	frame := AppendHeader(nil, len(payload), false)
	frame[0] = first
	frame[1] |= 0x80
	mask := [4]byte{1, 2, 3, 4}
	frame = append(frame, mask[:]...)
	for i, b := range payload {
		frame = append(frame, b^mask[i%4])
	}
	return frame
}

func (c *testClient) send(op byte, payload string) {
	c.t.Helper()
	c.write(maskedFrame(0x80|op, []byte(payload)))
}

func (c *testClient) sendClose(code int, reason string) {
	c.t.Helper()
	c.send(opClose, string([]byte{byte(code >> 8), byte(code)})+reason)
}

// next reads one frame.
func (c *testClient) next() (op byte, payload []byte, err error) {
	c.deadline()
	return readFrame(c.br)
}

func readFrame(r io.Reader) (op byte, payload []byte, err error) {
	var h [10]byte
	if _, err := io.ReadFull(r, h[:2]); err != nil {
		return 0, nil, err
	}
	if h[0]&0xf0 != 0x80 || h[1]&0x80 != 0 {
		return 0, nil, fmt.Errorf("frame starts with %x", h[:2])
	}
	op = h[0] & 0xf
	n := uint64(h[1])
	switch n {
	case 126:
		_, err = io.ReadFull(r, h[:2])
		n = uint64(binary.BigEndian.Uint16(h[:]))
	case 127:
		_, err = io.ReadFull(r, h[:8])
		n = binary.BigEndian.Uint64(h[:])
	}
	if err != nil {
		return 0, nil, err
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(r, payload)
	return op, payload, err
}

func (c *testClient) want(op byte, payload string) {
	c.t.Helper()
	gotOp, got, err := c.next()
	if err != nil || gotOp != op || string(got) != payload {
		c.t.Fatalf("client got opcode %d, %.80q, %v; want opcode %d, %.80q", gotOp, got, err, op, payload)
	}
}

// wantClose reads a Close frame of exactly this code and no reason.
func (c *testClient) wantClose(code int) {
	c.t.Helper()
	c.want(opClose, string([]byte{byte(code >> 8), byte(code)}))
}

// wantEOF reads the orderly end of the connection.
func (c *testClient) wantEOF() {
	c.t.Helper()
	if _, _, err := c.next(); !errors.Is(err, io.EOF) {
		c.t.Fatalf("client got %v, want EOF", err)
	}
}
