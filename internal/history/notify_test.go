package history

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestNewsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		topicID := rapid.Int64Range(1, 1<<62).Draw(t, "topic")
		at := time.UnixMicro(rapid.Int64Range(0, 1<<55).Draw(t, "at"))
		var sent []row
		for range rapid.IntRange(1, 40).Draw(t, "rows") {
			sent = append(sent, row{
				id:         rapid.Int64Range(1, 1<<62).Draw(t, "id"),
				event:      rapid.StringN(1, 60, 255).Draw(t, "event"),
				payload:    []byte(`{"x":"` + strings.Repeat("y", rapid.IntRange(0, 7000).Draw(t, "size")) + `"}`),
				refersTo:   rapid.Int64Range(0, 1<<62).Draw(t, "refersTo"),
				insertedAt: at.Add(time.Duration(rapid.IntRange(0, 1).Draw(t, "later")) * time.Microsecond),
			})
		}
		var got []row
		for _, body := range encodeNews(topicID, sent) {
			if len(body) > maxNews || !utf8.Valid(body) {
				t.Fatalf("a body of %d bytes, %.20q", len(body), body)
			}
			n, err := decodeNews(body)
			if err != nil || n.topicID != topicID {
				t.Fatalf("topic %d, %v", n.topicID, err)
			}
			got = append(got, n.rows...)
		}
		if len(got) != len(sent) {
			t.Fatalf("%d rows, want %d", len(got), len(sent))
		}
		for i, want := range sent {
			r := got[i]
			if r.id != want.id || !r.insertedAt.Equal(want.insertedAt) {
				t.Fatalf("row %d: id %d at %v, want %d at %v", i, r.id, r.insertedAt, want.id, want.insertedAt)
			}
			if r.isReference() {
				if len(want.event)+len(want.payload) < maxNews/2 {
					t.Fatalf("a reference stands for %d bytes", len(want.event)+len(want.payload))
				}
				continue
			}
			if r.event != want.event || r.refersTo != want.refersTo || !bytes.Equal(r.payload, want.payload) {
				t.Fatalf("row %d: %q, %d, %.20q", i, r.event, r.refersTo, r.payload)
			}
		}
	})
}

func TestMalformedNews(t *testing.T) {
	for _, body := range []string{
		"", "1", "1,", "1,2;", "0,2;1,0,1,2:e{}", "1,2;0:", "1,2;0,0,1,2:e{}", "1,2;1,0,1,2:e{", "1,2;1,0,1,1:e{", "1,2;1,0,1,2:eab",
		"1,2;1,0,0,2:{}", "1,2;1,0,1,zzzzzzzzzzzzz:e{}", "-1,2;1:", "1,2;1", "1,2;99999999999999:", "1,2;1,0,1,3:e{}",
	} {
		if n, err := decodeNews([]byte(body)); !errors.Is(err, errMalformed) {
			t.Errorf("%q: %+v, %v", body, n, err)
		}
	}
}

func FuzzDecodeNews(f *testing.F) {
	f.Add([]byte("1,2;1,0,1,2:e{}3:"))
	f.Add(encodeNews(7, []row{{id: 9, event: "new_msg", payload: []byte(` { "a" : 1 } `), refersTo: 3}})[0])
	f.Fuzz(func(t *testing.T, body []byte) {
		n, err := decodeNews(body)
		if err != nil {
			return
		}
		for _, r := range n.rows {
			if r.isReference() {
				continue
			}
			_ = r.message("id") // must not panic
		}
		again := news{topicID: n.topicID}
		for _, body := range encodeNews(n.topicID, n.rows) {
			part, err := decodeNews(body)
			if err != nil {
				t.Fatal(err)
			}
			again.rows = append(again.rows, part.rows...)
		}
		if len(again.rows) != len(n.rows) {
			t.Fatalf("%d rows became %d", len(n.rows), len(again.rows))
		}
	})
}
