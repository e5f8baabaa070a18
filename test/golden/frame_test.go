package golden

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What a server must not send shows as a violation, never as a frame.
func TestViolations(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, wire, want string }{
		{"masked", "\x81\x81\x00\x00\x00\x00a", "masked"},
		{"reserved bits", "\xc1\x01a", "reserved bits"},
		{"long control frame", "\x89\x7e\x00\x80" + strings.Repeat("x", 128), "control frame"},
		{"fragmented control frame", "\x09\x01a", "control frame"},
		{"continuation of nothing", "\x80\x01a", "out of turn"},
		{"text within text", "\x01\x01a\x81\x01b", "out of turn"},
		{"invalid UTF-8", "\x81\x01\xff", "not UTF-8"},
		{"unknown opcode", "\x83\x00", "opcode"},
		{"close frame of one byte", "\x88\x01\x03", "one byte"},
		{"frame after close", "\x88\x02\x03\xe8\x81\x01a", "after the close frame"},
		{"frame over the limit", "\x82\x7f\x00\x00\x00\x00\x10\x00\x00\x00", "limit"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			last := lastEvent(t, test.wire)
			if last.kind != eventViolation || !strings.Contains(string(last.data), test.want) {
				t.Errorf("got %s, want a violation about %q", last, test.want)
			}
		})
	}
}

func TestSocketReads(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, wire, want string }{
		{"fragments", "\x01\x02he\x00\x02ll\x80\x01o", "text hello"},
		{"ping between fragments", "\x01\x02he\x89\x01p\x80\x03llo", "text hello"},
		{"binary", "\x82\x02\x00\xff", "binary 00ff"},
		{"pong", "\x8a\x01a", "pong 61"},
		{"close", "\x88\x05\x03\xf4bye", `close frame 1012 "bye"`},
		{"close without a code", "\x88\x00", `close frame 1005 ""`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := lastEvent(t, test.wire)
			if got.String() != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
	t.Run("cut", func(t *testing.T) {
		t.Parallel()
		if got := lastEvent(t, "\x81\x05he"); got.kind != eventCut {
			t.Errorf("got %s, want a cut", got)
		}
	})
}

// lastEvent is the last thing that a socket makes of the bytes of a server,
// but for the end of the connection if anything came before it.
func lastEvent(t *testing.T, wire string) (last event) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		s := newSocket(client, bufio.NewReader(client))
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			_, _ = io.Copy(io.Discard, server)
		}()
		go func() {
			_, _ = io.WriteString(server, wire)
			time.Sleep(time.Second)
			_ = server.Close()
		}()
		for {
			got, ok := s.next(context.Background(), time.Minute)
			if !ok || got.kind == eventCut && last.kind != "" {
				break
			}
			last = got
		}
		s.abandon()
		<-drained
	})
	return last
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte("\x81\x01a"))
	f.Add([]byte("\x82\x7e\x00\x80"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		got, err := readFrame(bufio.NewReader(bytes.NewReader(wire)))
		if err != nil {
			return
		}
		// A client's frame is the same but for the mask, which a server's must
		// not have.
		masked := appendFrame(nil, got)
		if _, err := readFrame(bufio.NewReader(bytes.NewReader(masked))); !errors.Is(err, errProtocol) {
			t.Fatalf("masked frame: %v", err)
		}
	})
}
