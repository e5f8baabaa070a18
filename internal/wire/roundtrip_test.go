package wire

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// drawRef draws null, which is nil, or any other JSON value.
func drawRef(t *rapid.T, label string) []byte {
	value := rapid.OneOf(rapid.Just("null"), rapid.StringMatching(`"[0-9]{1,4}"`), jsonText()).Draw(t, label)
	if value == "null" {
		return nil
	}
	return []byte(value)
}

func drawMap(t *rapid.T) Payload {
	return jsonPayload(`{"value":` + jsonText().Draw(t, "payload") + `}`)
}

func orNull(raw []byte) string {
	if raw == nil {
		return "null"
	}
	return string(raw)
}

func jsonString(t *rapid.T, s string) string {
	quoted, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(quoted)
}

// A client's frame gives back what was put into it.
func TestClientTextRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		topic, event := rapid.String().Draw(t, "topic"), rapid.String().Draw(t, "event")
		want := Envelope{
			JoinRef: drawRef(t, "join_ref"), Ref: drawRef(t, "ref"),
			Topic: []byte(topic), Event: []byte(event), Payload: jsonPayload(jsonText().Draw(t, "payload")),
		}
		v2 := "[" + orNull(want.JoinRef) + "," + orNull(want.Ref) + "," + jsonString(t, topic) + "," + jsonString(t, event) + "," + string(want.Payload.Data) + "]"
		members := rapid.Permutation([]string{
			`"join_ref":` + orNull(want.JoinRef), `"ref":` + orNull(want.Ref), `"topic":` + jsonString(t, topic),
			`"event":` + jsonString(t, event), `"payload":` + string(want.Payload.Data), `"other":1`,
		}).Draw(t, "order")
		v1 := "{" + strings.Join(members, ",") + "}"
		for v, frame := range map[Version]string{V1: v1, V2: v2} {
			var got Envelope
			if err := v.Decode([]byte(frame), false, &got); err != nil {
				t.Fatalf("%s: %v", frame, err)
			}
			if !same(got, want) {
				t.Fatalf("%s:\ngot  %s\nwant %s", frame, show(got), show(want))
			}
		}
	})
}

// What the server sends is JSON, with the values it was given.
func TestServerTextRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		topic, event := rapid.String().Draw(t, "topic"), rapid.String().Draw(t, "event")
		joinRef, ref, payload := drawRef(t, "join_ref"), drawRef(t, "ref"), drawMap(t)
		want := Envelope{JoinRef: joinRef, Ref: ref, Topic: []byte(topic), Event: []byte(event), Payload: payload}

		f, err := V2.Control(joinRef, ref, topic, event, payload)
		if err != nil {
			t.Fatal(err)
		}
		var got Envelope
		if err := V2.Decode(f.Payload(), false, &got); err != nil || !same(got, want) {
			t.Fatalf("%s: %v\ngot  %s\nwant %s", f.Payload(), err, show(got), show(want))
		}

		f, err = V1.Control(joinRef, ref, topic, event, payload)
		if err != nil {
			t.Fatal(err)
		}
		var keys map[string]json.RawMessage
		if err := json.Unmarshal(f.Payload(), &keys); err != nil || len(keys) != 4 {
			t.Fatalf("%s: %v, want 4 keys", f.Payload(), err)
		}
		want.JoinRef = nil // version 1 does not send it
		if err := V1.Decode(f.Payload(), false, &got); err != nil || !same(got, want) {
			t.Fatalf("%s: %v\ngot  %s\nwant %s", f.Payload(), err, show(got), show(want))
		}

		status := rapid.String().Draw(t, "status")
		for _, v := range []Version{V1, V2} {
			f, err := v.Reply(joinRef, ref, topic, status, payload)
			if err != nil {
				t.Fatal(err)
			}
			if err := v.Decode(f.Payload(), false, &got); err != nil || string(got.Topic) != topic || string(got.Event) != "phx_reply" || !bytes.Equal(got.Ref, ref) {
				t.Fatalf("%s: %v, %s", f.Payload(), err, show(got))
			}
			var reply struct {
				Status   string
				Response json.RawMessage
			}
			if err := json.Unmarshal(got.Payload.Data, &reply); err != nil || reply.Status != status || !bytes.Equal(reply.Response, payload.Data) {
				t.Fatalf("%s: %v, %+v", got.Payload.Data, err, reply)
			}
		}
	})
}

// splitBinary reads a binary frame of the server as a client does: n lengths,
// n strings, data.
func splitBinary(t *rapid.T, f *Frame, kind byte, n int) (fields []string, data []byte) {
	b := f.Payload()
	if !f.Binary() || b[0] != kind {
		t.Fatalf("binary %v, kind %d, want %d", f.Binary(), b[0], kind)
	}
	rest := b[1+n:]
	for _, length := range b[1 : 1+n] {
		fields = append(fields, string(rest[:length]))
		rest = rest[length:]
	}
	return fields, rest
}

func TestBinaryRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(0, -1, 255)
		joinRef, ref := text.Draw(t, "join_ref"), text.Draw(t, "ref")
		topic, event := text.Draw(t, "topic"), text.Draw(t, "event")
		data := rapid.SliceOf(rapid.Byte()).Draw(t, "data")

		frame := []byte{0, byte(len(joinRef)), byte(len(ref)), byte(len(topic)), byte(len(event))}
		frame = append(frame, joinRef+ref+topic+event...)
		frame = append(frame, data...)
		var e Envelope
		if err := V2.Decode(frame, true, &e); err != nil {
			t.Fatal(err)
		}
		var refs [2]string
		for i, raw := range [][]byte{e.JoinRef, e.Ref} {
			if err := json.Unmarshal(raw, &refs[i]); err != nil {
				t.Fatalf("ref %s: %v", raw, err)
			}
		}
		if refs != [2]string{joinRef, ref} || string(e.Topic) != topic || string(e.Event) != event || !bytes.Equal(e.Payload.Data, data) || !e.Payload.Binary {
			t.Fatalf("got %s", show(e))
		}

		// Sent back, everything is as it was.
		reply, err := V2.Reply(e.JoinRef, e.Ref, topic, event, e.Payload)
		if err != nil {
			t.Fatal(err)
		}
		push, err := V2.Push(e.JoinRef, topic, event, e.Payload)
		if err != nil {
			t.Fatal(err)
		}
		broadcast, err := V2.Broadcast(topic, event, e.Payload)
		if err != nil {
			t.Fatal(err)
		}
		for _, tc := range []struct {
			frame *Frame
			kind  byte
			want  []string
		}{
			{push, 0, []string{joinRef, topic, event}},
			{reply, 1, []string{joinRef, ref, topic, event}},
			{broadcast, 2, []string{topic, event}},
		} {
			fields, rest := splitBinary(t, tc.frame, tc.kind, len(tc.want))
			for i := range tc.want {
				if fields[i] != tc.want[i] {
					t.Fatalf("kind %d: fields %q, want %q", tc.kind, fields, tc.want)
				}
			}
			if !bytes.Equal(rest, data) {
				t.Fatalf("kind %d: data %q, want %q", tc.kind, rest, data)
			}
		}
	})
}
