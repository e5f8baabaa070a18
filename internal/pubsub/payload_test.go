package pubsub

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

const testNode = "web-1@abcdefghij23"

// received is a message as it came out of payloads.
type received struct {
	channel string
	counter uint64
	kind    byte
	topic   string
	body    []byte
}

// unpack decodes what a batch sends, and fails if Postgres would not take it.
func unpack(t rapid.TB, p *packed) []received {
	t.Helper()
	rows := make(map[[spillIDLen]byte][]byte)
	for i, id := range p.ids {
		rows[id.Bytes] = p.bodies[i]
	}
	var out []received
	seen := make(map[string]bool)
	for i, payload := range p.payloads {
		if len(payload) > maxPayload {
			t.Fatalf("payload of %d bytes", len(payload))
		}
		if !utf8.ValidString(payload) || strings.IndexByte(payload, 0) >= 0 {
			t.Fatalf("payload is no text: %q", payload)
		}
		if seen[payload] {
			t.Fatalf("payload twice in a batch, Postgres would fold it: %q", payload)
		}
		seen[payload] = true
		h, content, err := decodeHeader(payload)
		if err != nil {
			t.Fatalf("decodeHeader(%q): %v", payload, err)
		}
		if h.node != testNode {
			t.Fatalf("node %q", h.node)
		}
		frames, err := decodeFrames(content)
		if err != nil {
			t.Fatalf("decodeFrames(%q): %v", content, err)
		}
		for j, f := range frames {
			if f.spilled {
				if f.topic, f.body, err = decodeSpilled(rows[f.id]); err != nil {
					t.Fatalf("decodeSpilled: %v", err)
				}
			}
			out = append(out, received{p.channels[i], h.counter + uint64(j), f.kind, f.topic, f.body})
		}
	}
	return out
}

func check(t rapid.TB, batch []outgoing, got []received) {
	t.Helper()
	if len(got) != len(batch) {
		t.Fatalf("%d messages became %d", len(batch), len(got))
	}
	for i, m := range batch {
		g := got[i]
		if g.channel != m.stream.channel || g.counter != m.counter || g.kind != m.kind || g.topic != m.topic || !bytes.Equal(g.body, m.body) {
			t.Fatalf("message %d: got %s/%d kind %d topic %q body of %d bytes, want %s/%d kind %d topic %q body of %d bytes",
				i, g.channel, g.counter, g.kind, g.topic, len(g.body), m.stream.channel, m.counter, m.kind, m.topic, len(m.body))
		}
	}
}

// A batch of any messages arrives as it was, in order.
func TestPackRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		streams := []*stream{
			{channel: "all"},
			{channel: "one", incarnation: "abcdefghij22", epoch: 1},
			{channel: "two", incarnation: "abcdefghij33", epoch: 1 << 60},
		}
		streams[0].accepted = rapid.Uint64Range(0, 1<<62).Draw(t, "first")
		topics := rapid.OneOf(rapid.StringN(-1, -1, 60), rapid.Just("room:lobby"), rapid.Just("\xff\x00"),
			rapid.Map(rapid.IntRange(7000, 9000), func(n int) string { return strings.Repeat("t", n) }))
		bodies := rapid.OneOf(
			rapid.SliceOfN(rapid.Byte(), 0, 100),
			rapid.Map(rapid.StringN(-1, -1, 200), func(s string) []byte { return []byte(s) }),
			rapid.Map(rapid.IntRange(0, 20_000), func(n int) []byte { return bytes.Repeat([]byte("x"), n) }),
			rapid.Map(rapid.IntRange(5000, 8200), func(n int) []byte { return bytes.Repeat([]byte{0}, n) }),
		)
		var batch []outgoing
		for range rapid.IntRange(0, 40).Draw(t, "messages") {
			s := rapid.SampledFrom(streams).Draw(t, "stream")
			s.accepted += rapid.SampledFrom([]uint64{1, 1, 1, 1, 3}).Draw(t, "step") // 3: some were dropped
			batch = append(batch, outgoing{
				stream: s, counter: s.accepted, kind: rapid.Byte().Draw(t, "kind"),
				topic: topics.Draw(t, "topic"), body: bodies.Draw(t, "body"),
			})
		}
		check(t, batch, unpack(t, pack(testNode, batch)))
	})
}

// Every size around the limits of a payload, as text and as bytes.
func TestPackEverySize(t *testing.T) {
	t.Parallel()
	s := &stream{channel: "all"}
	for _, fill := range []byte{'x', 0} {
		for _, from := range []int{0, 5600, 7600} {
			var batch []outgoing
			for size := from; size < from+400; size++ {
				s.accepted++
				batch = append(batch, outgoing{stream: s, counter: s.accepted, topic: "room:lobby", body: bytes.Repeat([]byte{fill}, size)})
			}
			check(t, batch, unpack(t, pack(testNode, batch)))
		}
	}
}

// Small messages share payloads.
func TestPackDensity(t *testing.T) {
	t.Parallel()
	s := &stream{channel: "all"}
	var batch []outgoing
	body := []byte(strings.Repeat("x", 128))
	for range 1000 {
		s.accepted++
		batch = append(batch, outgoing{stream: s, counter: s.accepted, topic: "room:lobby", body: body})
	}
	if p := pack(testNode, batch); len(p.payloads) > 20 || len(p.ids) != 0 {
		t.Errorf("1,000 messages of 138 bytes take %d payloads and %d rows, want at most 20 and 0", len(p.payloads), len(p.ids))
	}
}

func TestHeaderLongest(t *testing.T) {
	t.Parallel()
	h := header{stream: streamDirect, node: strings.Repeat("n", 64) + "@abcdefghij23", epoch: 1<<64 - 1, counter: 1<<64 - 1}
	if n := len(appendHeader(nil, h)); n > maxHeader {
		t.Errorf("a header takes %d bytes, more than maxHeader", n)
	}
}

func TestHeartbeatRoundTrip(t *testing.T) {
	t.Parallel()
	q := newQueue("trunkline", 1<<20, 0, func(string, int) {})
	for range 2 * maxAnnounced {
		q.directStream(newIncarnation())
	}
	sent := q.announce(q.broadcast.used)
	if len(sent.direct) != maxAnnounced {
		t.Fatalf("%d streams announced, want %d", len(sent.direct), maxAnnounced)
	}
	for i := range sent.direct {
		sent.direct[i].counter = 1<<63 - 1
	}
	sent.broadcast = 1<<63 - 1
	p := &packed{}
	p.addHeartbeat("all", testNode, 7, sent)
	if len(p.payloads[0]) > 8000-1 {
		t.Errorf("the longest heartbeat takes %d bytes", len(p.payloads[0]))
	}
	h, content, err := decodeHeader(p.payloads[0])
	if err != nil || h.stream != streamHeartbeat || h.counter != 7 {
		t.Fatalf("header %+v, %v", h, err)
	}
	got, err := decodeHeartbeat(content)
	if err != nil || got.broadcast != sent.broadcast || len(got.direct) != len(sent.direct) || got.direct[3] != sent.direct[3] {
		t.Fatalf("heartbeat %+v, %v", got, err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for payload, want := range map[string]error{
		"":                                                  errVersion,
		"2|b|web@abcdefghij23|0|1|x":                        errVersion,
		"1|":                                                errMalformed,
		"1|x|web@abcdefghij23|0|1|x":                        errMalformed,
		"1|b|web|0|1|x":                                     errMalformed,
		"1|b|web@abcdefghij2|0|1|x":                         errMalformed,
		"1|b|web@ABCDEFGHIJ23|0|1|x":                        errMalformed,
		"1|b|web@abcdefghij23|0|0|x":                        errMalformed,
		"1|b|web@abcdefghij23|1|1|x":                        errMalformed,
		"1|d|web@abcdefghij23|0|1|x":                        errMalformed,
		"1|b|web@abcdefghij23|0|-1|x":                       errMalformed,
		"1|b|web@abcdefghij23|0|1":                          errMalformed,
		"1|b|web@abcdefghij23|0|1|":                         errMalformed, // no frame
		"1|b|web@abcdefghij23|0|1|zz00":                     errMalformed,
		"1|b|web@abcdefghij23|0|1|01":                       errMalformed,
		"1|b|web@abcdefghij23|0|1|0101,2:ab":                errMalformed, // too short
		"1|b|web@abcdefghij23|0|1|0100,zzzzzzzzzzzz:ab":     errMalformed,
		"1|b|web@abcdefghij23|0|1|0110,1:!":                 errMalformed, // no base64
		"1|b|web@abcdefghij23|0|1|0190,1:a":                 errMalformed, // encoding
		"1|b|web@abcdefghij23|0|1|01s0,2:ab":                errMalformed, // short id
		"1|b|web@abcdefghij23|0|3w5e11264sgsg|0101,2:abc":   errMalformed, // counter overflows
		"1|b|web@abcdefghij23|0|1|g101,2:abc":               errMalformed, // kind
		"1|h|web@abcdefghij23|0|1|":                         errMalformed,
		"1|h|web@abcdefghij23|0|1|5,abc:1:1":                errMalformed,
		"1|h|web@abcdefghij23|0|1|5,abcdefghij23:1":         errMalformed,
		"1|h|web@abcdefghij23|0|1|5,abcdefghij23:1:1:1":     errMalformed,
		"1|h|web@abcdefghij23|0|1|5,abcdefghij23:!:1":       errMalformed,
		"1|h|web@abcdefghij23|0|1|5,abcdefghij23:1:1,":      errMalformed,
		"1|h|web@abcdefghij23|0|1|5,abcdefghij23:1:!":       errMalformed,
		"1|b|web@abcdefghij23|0|1|0131,1:aa":                errMalformed, // no whole base64
		"1|b|web@abcdefghij23|0|1|0101,1:ab0101,1:ab0101,1": errMalformed,
	} {
		if err := decodeAll(payload); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", payload, err, want)
		}
	}
}

func decodeAll(payload string) error {
	h, content, err := decodeHeader(payload)
	if err != nil {
		return err
	}
	if h.stream == streamHeartbeat {
		_, err = decodeHeartbeat(content)
		return err
	}
	_, err = decodeFrames(content)
	return err
}

// Anybody who may connect to the database can send a payload: nothing in it may
// do harm, and what decodes is what was encoded.
func FuzzDecodePayload(f *testing.F) {
	s := &stream{channel: "all"}
	d := &stream{channel: "one", incarnation: "abcdefghij22", epoch: 3}
	p := pack(testNode, []outgoing{
		{stream: s, counter: 1, kind: 1, topic: "room:lobby", body: []byte(`{"a":1}`)},
		{stream: s, counter: 2, kind: 255, topic: "\xff", body: []byte{0}},
		{stream: d, counter: 9, kind: 7, topic: "", body: bytes.Repeat([]byte{1}, 9000)},
	})
	p.addHeartbeat("all", testNode, 4, heartbeat{broadcast: 2, direct: []directCounter{{"abcdefghij22", 3, 9}}})
	for _, payload := range p.payloads {
		f.Add(payload)
	}
	f.Fuzz(func(t *testing.T, payload string) {
		h, content, err := decodeHeader(payload)
		if err != nil {
			return
		}
		again, _, err := decodeHeader(string(appendHeader(nil, h)))
		if err != nil || again != h {
			t.Fatalf("header %+v became %+v, %v", h, again, err)
		}
		if h.stream == streamHeartbeat {
			if beat, err := decodeHeartbeat(content); err == nil {
				if _, err := decodeHeartbeat(string(appendHeartbeat(nil, beat))); err != nil {
					t.Fatalf("heartbeat %+v: %v", beat, err)
				}
			}
			return
		}
		frames, err := decodeFrames(content)
		if err != nil {
			return
		}
		var text []byte
		for _, f := range frames {
			if f.spilled {
				text = appendSpilledFrame(text, f.kind, f.id)
			} else {
				text = appendFrame(text, f.kind, f.topic, f.body)
			}
		}
		second, err := decodeFrames(string(text))
		if err != nil || len(second) != len(frames) {
			t.Fatalf("%d frames became %d, %v", len(frames), len(second), err)
		}
		for i := range frames {
			a, b := frames[i], second[i]
			if a.kind != b.kind || a.topic != b.topic || !bytes.Equal(a.body, b.body) || a.id != b.id {
				t.Fatalf("frame %+v became %+v", a, b)
			}
		}
	})
}

func FuzzDecodeSpilled(f *testing.F) {
	f.Add(encodeSpilled("room:lobby", []byte("body")))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, row []byte) {
		topic, body, err := decodeSpilled(row)
		if err != nil {
			return
		}
		topic2, body2, err := decodeSpilled(encodeSpilled(topic, body))
		if err != nil || topic2 != topic || !bytes.Equal(body2, body) {
			t.Fatalf("%q, %q became %q, %q, %v", topic, body, topic2, body2, err)
		}
	})
}
