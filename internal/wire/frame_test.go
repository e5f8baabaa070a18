package wire

import (
	"bytes"
	"strings"
	"testing"
)

// RFC 6455, section 5.2.
func TestFrameHeader(t *testing.T) {
	t.Parallel()
	const around = len(`[null,null,"t","e",{"p":""}]`)
	for _, tc := range []struct {
		size   int
		header string
	}{
		{around, "\x81\x1c"},
		{125, "\x81\x7d"},
		{126, "\x81\x7e\x00\x7e"},
		{127, "\x81\x7e\x00\x7f"},
		{65535, "\x81\x7e\xff\xff"},
		{65536, "\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"},
		{300000, "\x81\x7f\x00\x00\x00\x00\x00\x04\x93\xe0"},
	} {
		f, err := V2.Broadcast("t", "e", jsonPayload(`{"p":"`+strings.Repeat("x", tc.size-around)+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		if len(f.Payload()) != tc.size {
			t.Fatalf("message of %d bytes, the test wants %d", len(f.Payload()), tc.size)
		}
		if want := tc.header + string(f.Payload()); string(f.WebSocket()) != want {
			t.Errorf("%d bytes: header % x, want % x", tc.size, f.WebSocket()[:len(f.WebSocket())-tc.size], tc.header)
		}
	}
}

func TestFrameHeaderBinary(t *testing.T) {
	t.Parallel()
	for size, header := range map[int]string{
		5:     "\x82\x05",
		125:   "\x82\x7d",
		126:   "\x82\x7e\x00\x7e",
		65536: "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00",
	} {
		f, err := V2.Broadcast("t", "e", Payload{Data: bytes.Repeat([]byte{0xff}, size-5), Binary: true})
		if err != nil {
			t.Fatal(err)
		}
		if want := header + "\x02\x01\x01te" + strings.Repeat("\xff", size-5); string(f.WebSocket()) != want {
			t.Errorf("%d bytes: wrong frame, header % x, want % x", size, f.WebSocket()[:2], header)
		}
	}
}

// The frame and its bytes: header and message are not copied together.
func TestEncodeAllocatesTwice(t *testing.T) {
	payload := jsonPayload(`{"body":"` + strings.Repeat("x", 1000) + `"}`)
	for _, v := range []Version{V1, V2} {
		allocs := testing.AllocsPerRun(100, func() {
			if _, err := v.Broadcast("room:lobby", "new_msg", payload); err != nil {
				t.Fatal(err)
			}
		})
		if allocs > 2 {
			t.Errorf("%v: %v allocations", v, allocs)
		}
	}
}
