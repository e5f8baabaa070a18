//go:build linux

package load

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// Plain frames come back as they were, whatever follows them and however little
// of them is there yet.
func TestFramesComeBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.OneOf(rapid.IntRange(0, 300), rapid.SampledFrom([]int{125, 126, 1<<16 - 1, 1 << 16, 70_000})).Draw(t, "size")
		want := bytes.Repeat([]byte{byte(size)}, size)
		frame := appendFrame(nil, opText, want, 0)
		follows := rapid.SliceOf(rapid.Byte()).Draw(t, "follows")
		opcode, payload, used, err := nextFrame(append(frame, follows...))
		if err != nil || opcode != opText || used != len(frame) || !bytes.Equal(payload, want) {
			t.Fatalf("opcode %d, %d bytes, %d used of %d, %v", opcode, len(payload), used, len(frame), err)
		}
		cut := rapid.IntRange(0, len(frame)-1).Draw(t, "cut")
		if _, _, used, err := nextFrame(frame[:cut]); used != 0 || err != nil {
			t.Fatalf("%d of %d bytes: %d used, %v", cut, len(frame), used, err)
		}
	})
}

// A masked frame is the plain one with a key and each byte changed by it, as
// section 5.3 of RFC 6455 has it.
func TestMask(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "payload")
		key := rapid.Uint32Min(1).Draw(t, "key")
		frame := appendFrame(nil, opText, want, key)
		head := len(appendFrame(nil, opText, want, 0)) - len(want)
		if frame[1]&maskBit == 0 || len(frame) != head+4+len(want) {
			t.Fatalf("%x", frame)
		}
		mask, got := frame[head:head+4], frame[head+4:]
		for i := range got {
			got[i] ^= mask[i%4]
		}
		if !bytes.Equal(got, want) || binary.LittleEndian.Uint32(mask) != key {
			t.Fatalf("%x, want %x", got, want)
		}
	})
}

func TestNextFrameRefuses(t *testing.T) {
	t.Parallel()
	for name, data := range map[string][]byte{
		"fragment":   {opText, 0},
		"compressed": {finBit | 0x40 | opText, 0},
		"masked":     appendFrame(nil, opText, []byte("x"), 1),
		"too large":  {finBit | opText, 127, 1, 0, 0, 0, 0, 0, 0, 0},
	} {
		if _, _, _, err := nextFrame(data); !errors.Is(err, errFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzNextFrame(f *testing.F) {
	f.Add(appendFrame(nil, opText, []byte("hello"), 0))
	f.Add([]byte{finBit | opBinary, 126, 0})
	f.Add([]byte{finBit | opText, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		_, payload, size, err := nextFrame(data)
		if size > len(data) || len(payload) > size || err != nil && size != 0 {
			t.Errorf("%d bytes of payload, %d of %d used, %v", len(payload), size, len(data), err)
		}
	})
}
