package wire

import (
	"encoding/json"
	"testing"
)

// Both are about 200 bytes.
var (
	benchV2 = []byte(`["12","345","room:lobby","new_msg",{"user":"alice","body":"Hello there, how are you doing today? This is a message of the usual length.","at":1712345678.25,"tags":["a","b"],"edited":false,"thread":null}]`)
	benchV1 = []byte(`{"topic":"room:lobby","event":"new_msg","payload":{"user":"alice","body":"Hello there, how are you doing today? This is a message","at":1712345678.25,"tags":["a","b"],"edited":false},"ref":"345","join_ref":"12"}`)
)

func BenchmarkDecode(b *testing.B) {
	for _, bc := range []struct {
		name  string
		v     Version
		frame []byte
	}{{"v1", V1, benchV1}, {"v2", V2, benchV2}} {
		b.Run(bc.name, func(b *testing.B) {
			var e Envelope
			b.SetBytes(int64(len(bc.frame)))
			b.ReportAllocs()
			for b.Loop() {
				if err := bc.v.Decode(bc.frame, false, &e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("v2 binary", func(b *testing.B) {
		frame := append([]byte("\x00\x02\x03\x0a\x0712345room:lobbynew_msg"), make([]byte, 160)...)
		var e Envelope
		b.SetBytes(int64(len(frame)))
		b.ReportAllocs()
		for b.Loop() {
			if err := V2.Decode(frame, true, &e); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// What Decode is measured against.
func BenchmarkEncodingJSON(b *testing.B) {
	b.Run("v2", func(b *testing.B) {
		b.SetBytes(int64(len(benchV2)))
		b.ReportAllocs()
		for b.Loop() {
			var elements [5]json.RawMessage
			if err := json.Unmarshal(benchV2, &elements); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("v1", func(b *testing.B) {
		b.SetBytes(int64(len(benchV1)))
		b.ReportAllocs()
		for b.Loop() {
			var message struct {
				Topic, Event string
				Payload, Ref json.RawMessage
				JoinRef      json.RawMessage `json:"join_ref"`
			}
			if err := json.Unmarshal(benchV1, &message); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("valid", func(b *testing.B) {
		b.SetBytes(int64(len(benchV2)))
		b.ReportAllocs()
		for b.Loop() {
			if !json.Valid(benchV2) {
				b.Fatal("invalid")
			}
		}
	})
}

func BenchmarkBroadcast(b *testing.B) {
	var e Envelope
	if err := V2.Decode(benchV2, false, &e); err != nil {
		b.Fatal(err)
	}
	for _, v := range []Version{V1, V2} {
		b.Run(v.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Broadcast("room:lobby", "new_msg", e.Payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkClone(b *testing.B) {
	var e Envelope
	if err := V2.Decode(benchV2, false, &e); err != nil {
		b.Fatal(err)
	}
	var clone Envelope
	b.ReportAllocs()
	for b.Loop() {
		clone = e.Clone()
	}
	if !same(clone, e) {
		b.Fatal("the clone differs")
	}
}
