package cluster

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/trunkline/trunkline/internal/pgtest"
)

// malformed are frames that a serializer cannot take.
var malformed = map[string][]byte{
	"empty":               {},
	"no JSON":             []byte("hello"),
	"cut":                 []byte(`["1","1","room:lobby","ping",{}`),
	"too short":           []byte(`["1","1","room:lobby","ping"]`),
	"object":              []byte(`{"topic":"room:lobby","event":"ping","payload":{},"ref":"1"}`),
	"string":              []byte(`"room:lobby"`),
	"null":                []byte("null"),
	"trailing":            []byte(`["1","1","room:lobby","ping",{}]]`),
	"bad escape":          []byte(`["1","1","room:lobby","\x",{}]`),
	"control character":   []byte("[\"1\",\"1\",\"room:lobby\",\"a\nb\",{}]"),
	"invalid UTF-8":       []byte("[\"1\",\"1\",\"room:lobby\",\"\xff\xfe\",{}]"),
	"lone surrogate half": []byte("[\"1\",\"1\",\"room:lobby\",\"\xed\xa0\x80\",{}]"),
	"deep":                []byte(strings.Repeat("[", 100_000)),
}

// Frames that are malformed end the connection that sent them, and nothing else.
func TestMalformedFrames(t *testing.T) {
	t.Parallel()
	n := start(t, conformance, databaseURL(pgtest.EmptyURL(t)))
	others := watch(t, n, "same node")
	witness := connect(t, n).join(t, "room:lobby")
	send := func(kind websocket.MessageType, data []byte) *client {
		c := connect(t, n).join(t, "room:lobby")
		if err := c.write(kind, data); err != nil {
			t.Fatal(err)
		}
		return c
	}
	for name, data := range malformed {
		c := send(websocket.MessageText, data)
		want := websocket.StatusInternalError
		if !utf8.Valid(data) {
			want = websocket.StatusInvalidFramePayloadData
		}
		if code := c.closeCode(t, patience); code != want {
			t.Errorf("%s: closed with %d (%v), want %d", name, code, c.err, want)
		}
	}
	for _, data := range [][]byte{{}, {0}, {0, 255, 255, 255, 255}, {7, 1, 1, 1, 1, 'a', 'b', 'c', 'd'}} {
		send(websocket.MessageBinary, data).closeCode(t, patience)
	}
	witness.undisturbed(t)

	// Whatever noise: its own connection ends or not, others go on.
	const noises = 200
	ended := 0
	for range noises {
		kind := websocket.MessageBinary
		if rand.IntN(2) == 0 {
			kind = websocket.MessageText
		}
		c := send(kind, noise())
		if err := c.heartbeat(); err != nil {
			c.closeCode(t, patience) // nothing else is a reason
			ended++
		}
	}
	t.Logf("%d of %d random frames ended their connection", ended, noises)
	if ended == 0 {
		t.Error("no random frame ended its connection")
	}
	witness.undisturbed(t)

	// Random bytes below the WebSocket protocol.
	for range noises / 4 {
		rawNoise(t, n)
	}
	witness.undisturbed(t)
	others.end(t)
}

// noise is random bytes, or a frame with some of its bytes changed.
func noise() []byte {
	if rand.IntN(2) == 0 {
		return randomBytes(rand.IntN(300))
	}
	data := []byte(`["n","n","room:elsewhere","phx_join",{"a":[1,2,{"b":null}]}]`)
	for range 1 + rand.IntN(4) {
		data[rand.IntN(len(data))] = byte(rand.Uint32())
	}
	return data
}

// rawNoise upgrades a connection and sends random bytes, on which the server
// ends it.
func rawNoise(t testing.TB, n *node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", n.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	request := "GET /anon/websocket?vsn=2.0.0 HTTP/1.1\r\nHost: " + n.address + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	// 0x70: the reserved bits, which no extension has claimed
	first := append([]byte(request), 0x70|byte(rand.Uint32()))
	if _, err := conn.Write(append(first, randomBytes(200)...)); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 4096)
	answer := ""
	for {
		read, err := conn.Read(buffer)
		answer += string(buffer[:read])
		if err == nil {
			continue
		}
		if !strings.HasPrefix(answer, "HTTP/1.1 101 ") || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the server did not end the connection: %v after %q", err, answer)
		}
		return
	}
}
