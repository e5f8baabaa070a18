package wire

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A frame that is used again is what a new one would be.
func TestReplyInUsesAFrameAgain(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var f *Frame
		for range rapid.IntRange(2, 6).Draw(t, "frames") {
			v := rapid.SampledFrom([]Version{V1, V2}).Draw(t, "version")
			topic := strings.Repeat("t", rapid.IntRange(0, 300).Draw(t, "topic"))
			body := Payload{Data: []byte(`"` + strings.Repeat("x", rapid.IntRange(0, 500).Draw(t, "size")) + `"`)}
			body.Binary = v == V2 && len(topic) < 256 && rapid.Bool().Draw(t, "binary")
			want, err := v.Reply([]byte(`"1"`), []byte("2"), topic, "ok", body)
			if err != nil {
				t.Fatal(err)
			}
			if f, err = v.ReplyIn(f, []byte(`"1"`), []byte("2"), topic, "ok", body); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(f.WebSocket(), want.WebSocket()) || !bytes.Equal(f.Payload(), want.Payload()) || f.Binary() != want.Binary() {
				t.Fatalf("got %q, want %q", f.WebSocket(), want.WebSocket())
			}
		}
	})
}

func TestReplyInAllocatesNothing(t *testing.T) {
	ref, response := []byte("1"), Payload{Data: []byte(`{"a":1}`)}
	f, err := V2.Reply(nil, ref, "room", "ok", response)
	if err != nil {
		t.Fatal(err)
	}
	again := testing.AllocsPerRun(100, func() {
		if f, err = V2.ReplyIn(f, nil, ref, "room", "ok", response); err != nil {
			t.Fatal(err)
		}
	})
	if again != 0 {
		t.Errorf("%v allocations", again)
	}
}
