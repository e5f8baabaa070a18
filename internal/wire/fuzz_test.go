package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"unicode/utf8"
)

func FuzzScanAgainstJSON(f *testing.F) {
	for _, seed := range scanSeeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) { checkScan(t, data) })
}

func FuzzDecodeV2(f *testing.F) {
	f.Add(benchV2)
	for _, seed := range []string{
		`["1","1","room:lobby","phx_join",{}]`, `[null,null,"phoenix","heartbeat",{}]`, `[1,{"a":1},"\u00e9","e",[null],"more"]`,
		`["1","1",null,42,"x"]`, ` [ "1" , "2" , { } , [ ] , true ] `, `["1","1","t","e"]`, `[]`, `[1,2`, "\x00", "[\"\xff\"]", `["1","1","t","e",{}]]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		var elements []json.RawMessage
		isMessage := utf8.Valid(frame) && json.Unmarshal(frame, &elements) == nil && len(elements) >= 5
		var want Envelope
		if isMessage {
			want = reference(t, elements[0], elements[1], elements[2], elements[3], elements[4])
		}
		checkDecode(t, V2, frame, isMessage, want)
	})
}

func FuzzDecodeV1(f *testing.F) {
	f.Add(benchV1)
	for _, seed := range []string{
		`{"topic":"room:lobby","event":"phx_join","payload":{},"ref":"1"}`, `{"topic":"phoenix","event":"heartbeat","payload":null,"ref":null,"join_ref":null}`,
		` { "ref" : 3 , "x" : { } , "payload" : [ 1 ] , "\u0065vent" : [ ] , "topic" : "\ud83d\ude00" } `, `{"topic":1,"topic":2,"event":"e","payload":1,"ref":1,"join_ref":[]}`,
		`{"event":"e","payload":{},"ref":"1"}`, "{}", "{", `null`, `[null,"1","phoenix","heartbeat",{}]`, "{\"\xff\":1}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		var members map[string]json.RawMessage
		isMessage := utf8.Valid(frame) && json.Unmarshal(frame, &members) == nil
		for _, key := range []string{"topic", "event", "payload", "ref"} {
			isMessage = isMessage && members[key] != nil
		}
		var want Envelope
		if isMessage {
			want = reference(t, members["join_ref"], members["ref"], members["topic"], members["event"], members["payload"])
		}
		checkDecode(t, V1, frame, isMessage, want)
	})
}

// reference makes an envelope with encoding/json.
func reference(t *testing.T, joinRef, ref, topic, event, payload json.RawMessage) Envelope {
	t.Helper()
	orNil := func(raw json.RawMessage) []byte {
		if string(raw) == "null" {
			return nil
		}
		return raw
	}
	text := func(raw json.RawMessage) ([]byte, bool) {
		if raw[0] != '"' {
			return raw, true
		}
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			t.Fatal(err)
		}
		return []byte(s), false
	}
	e := Envelope{JoinRef: orNil(joinRef), Ref: orNil(ref), Payload: Payload{Data: payload}}
	e.Topic, e.TopicOdd = text(topic)
	e.Event, e.EventOdd = text(event)
	return e
}

func checkDecode(t *testing.T, v Version, frame []byte, isMessage bool, want Envelope) {
	t.Helper()
	before := bytes.Clone(frame)
	var got Envelope
	err := v.Decode(frame, false, &got)
	if !bytes.Equal(frame, before) {
		t.Fatal("the frame was changed")
	}
	if errors.Is(err, ErrDepth) {
		return
	}
	if (err == nil) != isMessage {
		t.Fatalf("error %v, encoding/json finds a message: %v", err, isMessage)
	}
	if errors.Is(err, ErrUTF8) == utf8.Valid(frame) {
		t.Fatalf("error %v, but the frame is UTF-8: %v", err, utf8.Valid(frame))
	}
	if isMessage && !same(got, want) {
		t.Fatalf("got  %s\nwant %s", show(got), show(want))
	}
	if clone := got.Clone(); !same(clone, got) {
		t.Fatalf("clone %s of %s", show(clone), show(got))
	}
	// Version 1 reads a binary frame as the same text, but never blames UTF-8.
	if v == V1 {
		var again Envelope
		binaryErr := v.Decode(frame, true, &again)
		if (binaryErr == nil) != isMessage || errors.Is(binaryErr, ErrUTF8) || !same(got, again) {
			t.Fatalf("as a binary frame: %v, %s", binaryErr, show(again))
		}
	}
}

func FuzzDecodeV2Binary(f *testing.F) {
	for _, seed := range []string{
		"\x00\x00\x01\x07\x091phoenixheartbeat", "\x00\x01\x01\x0a\x0912room:lobbybin_bcast\x01\x02", "\x00\x00\x00\x00\x00",
		"\x00\x01\x02\x01\x01\"\\\nte\xff", "\x01\x00\x00\x00\x00", "\x00\x01", "", "\x00\x01\x01\x01\x05jrtevent", "\x00\x00\x00\x01\x00\xff",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		before := bytes.Clone(frame)
		var e Envelope
		err := V2.Decode(frame, true, &e)
		if !bytes.Equal(frame, before) {
			t.Fatal("the frame was changed")
		}
		strings := 0
		isMessage := len(frame) >= 5 && frame[0] == 0
		if isMessage {
			strings = int(frame[1]) + int(frame[2]) + int(frame[3]) + int(frame[4])
			isMessage = len(frame) >= 5+strings
		}
		if isMessage {
			for i, from := 1, 5; i <= 4; i++ {
				to := from + int(frame[i])
				isMessage = isMessage && utf8.Valid(frame[from:to])
				from = to
			}
		}
		if (err == nil) != isMessage || errors.Is(err, ErrUTF8) {
			t.Fatalf("error %v, want a message: %v", err, isMessage)
		}
		if !isMessage {
			return
		}
		if e.TopicOdd || e.EventOdd || !e.Payload.Binary || !bytes.Equal(e.Payload.Data, frame[5+strings:]) {
			t.Fatalf("got %s", show(e))
		}
		// Its refs are JSON, and the header of a reply holds what came in.
		if !json.Valid(e.JoinRef) || !json.Valid(e.Ref) {
			t.Fatalf("refs %q and %q are no JSON", e.JoinRef, e.Ref)
		}
		reply, err := V2.Reply(e.JoinRef, e.Ref, string(e.Topic), string(e.Event), e.Payload)
		if err != nil {
			t.Fatal(err)
		}
		if got := reply.Payload(); got[0] != 1 || !bytes.Equal(got[1:], frame[1:]) {
			t.Fatalf("came in %q, went out %q", frame, got)
		}
	})
}
