package realtime

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

func FuzzLongPollMessage(f *testing.F) {
	for _, m := range []longPollMessage{
		{op: opPoll, number: 1},
		{op: opStatus, number: 1 << 40, status: 408},
		{op: opPost, number: 3, parts: []clientFrame{{data: []byte("[]")}, {data: []byte{0, 1}, binary: true}, {}}},
		{op: opMessages, number: 3, parts: []clientFrame{{data: bytes.Repeat([]byte("x"), 300)}}},
	} {
		f.Add(m.encode())
	}
	f.Add([]byte("p\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := parseLongPollMessage(body)
		if err != nil {
			if !errors.Is(err, errLongPollMessage) {
				t.Fatalf("unexpected error %v", err)
			}
			return
		}
		again, err := parseLongPollMessage(m.encode())
		if err != nil {
			t.Fatalf("%+v is encoded so that it cannot be read: %v", m, err)
		}
		same := again.op == m.op && again.number == m.number && again.status == m.status && len(again.parts) == len(m.parts)
		for i := 0; same && i < len(m.parts); i++ {
			same = again.parts[i].binary == m.parts[i].binary && bytes.Equal(again.parts[i].data, m.parts[i].data)
		}
		if !same {
			t.Fatalf("%+v became %+v", m, again)
		}
	})
}

func FuzzLongPollBatch(f *testing.F) {
	f.Add([]byte("[1]\n\r\nAAEB\r\n[2]"))
	f.Add([]byte("[1]\nbad!\n[2]"))
	f.Add([]byte(strings.Repeat("[]\n", maxBatchLines+2)))
	f.Add([]byte(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 80))))
	const limit = 64
	f.Fuzz(func(t *testing.T, body []byte) {
		frames, err := parseBatch(body, limit)
		if err != nil && !errors.Is(err, errBase64) && !errors.Is(err, errBodyTooLarge) {
			t.Fatalf("unexpected error %v", err)
		}
		lines := bytes.Split(body, []byte("\n"))
		if len(frames) > min(maxBatchLines, len(lines)) {
			t.Fatalf("%d frames of %d lines", len(frames), len(lines))
		}
		next := 0
		for _, frame := range frames {
			if len(frame.data) > limit {
				t.Fatalf("a frame of %d bytes, the limit is %d", len(frame.data), limit)
			}
			want := frame.data // in the body, as text or base64
			if frame.binary {
				want = []byte(base64.StdEncoding.EncodeToString(frame.data))
			}
			for ; next < len(lines); next++ {
				line := bytes.ReplaceAll(lines[next], []byte("\r"), nil)
				if bytes.Equal(line, bytes.ReplaceAll(want, []byte("\r"), nil)) || frame.binary && sameBase64(line, frame.data) {
					break
				}
			}
			if next++; next > len(lines) {
				t.Fatalf("frame %q is no line of the body", frame.data)
			}
		}
	})
}

// sameBase64 allows for the unused bits of the last character.
func sameBase64(line, data []byte) bool {
	got, err := base64.StdEncoding.DecodeString(string(line))
	return err == nil && bytes.Equal(got, data)
}
