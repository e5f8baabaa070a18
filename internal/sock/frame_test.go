package sock

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

func TestFrameQueueKeepsTheBytes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var q frameQueue
		var want, got []byte
		buf := new(chunk)
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "push") || q.empty() {
				size := rapid.IntRange(1, 1200).Draw(t, "size")
				if size%64 == 0 {
					size *= largestPiece / 500
				}
				frame := bytes.Repeat([]byte{byte(len(want))}, size)
				q.push(frame)
				want = append(want, frame...)
				continue
			}
			got = append(got, q.take(buf)...)
		}
		for !q.empty() {
			got = append(got, q.take(buf)...)
		}
		if !bytes.Equal(got, want) || q.frames != nil {
			t.Fatalf("%d bytes out of %d, or in the wrong order", len(got), len(want))
		}
	})
}

func TestFrameHeaders(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 125, 126, 65535, 65536, 1 << 20} {
		for _, isBinary := range []bool{false, true} {
			frame := NewFrame(make([]byte, n), isBinary)
			size, ok := frameSize(frame)
			op, payload, err := readFrame(bytes.NewReader(frame))
			if !ok || size != len(frame) || err != nil || len(payload) != n || (op == opBinary) != isBinary {
				t.Errorf("%d bytes: size %d, %v; read back opcode %d, %d bytes, %v", n, size, ok, op, len(payload), err)
			}
		}
	}
}
