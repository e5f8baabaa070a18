package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) string {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func jsonPayload(s string) Payload { return Payload{Data: []byte(s)} }

func binaryPayload(s string) Payload { return Payload{Data: []byte(s), Binary: true} }

// same compares envelopes; nil and empty refs differ, other empty slices do not.
func same(a, b Envelope) bool {
	return (a.JoinRef == nil) == (b.JoinRef == nil) && (a.Ref == nil) == (b.Ref == nil) &&
		bytes.Equal(a.JoinRef, b.JoinRef) && bytes.Equal(a.Ref, b.Ref) &&
		bytes.Equal(a.Topic, b.Topic) && bytes.Equal(a.Event, b.Event) &&
		a.TopicOdd == b.TopicOdd && a.EventOdd == b.EventOdd &&
		a.Payload.Binary == b.Payload.Binary && bytes.Equal(a.Payload.Data, b.Payload.Data)
}

func show(e Envelope) string {
	return fmt.Sprintf("[%s %s %q %q %v %v %v %q]", e.JoinRef, e.Ref, e.Topic, e.Event, e.TopicOdd, e.EventOdd, e.Payload.Binary, e.Payload.Data)
}

func TestDecode(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		v      Version
		frame  string
		binary bool
		want   Envelope
	}{
		{
			name: "v2 join", v: V2, frame: `["1","1","room:lobby","phx_join",{}]`,
			want: Envelope{JoinRef: []byte(`"1"`), Ref: []byte(`"1"`), Topic: []byte("room:lobby"), Event: []byte("phx_join"), Payload: jsonPayload(`{}`)},
		},
		{
			name: "v2 heartbeat, null join_ref", v: V2, frame: `[null,"5","phoenix","heartbeat",{}]`,
			want: Envelope{Ref: []byte(`"5"`), Topic: []byte("phoenix"), Event: []byte("heartbeat"), Payload: jsonPayload(`{}`)},
		},
		{
			name: "v2 both refs null", v: V2, frame: `[null,null,"phoenix","heartbeat",{}]`,
			want: Envelope{Topic: []byte("phoenix"), Event: []byte("heartbeat"), Payload: jsonPayload(`{}`)},
		},
		{
			name: "v2 refs of other types", v: V2, frame: `[1,{"a":1},"room:lobby","ping",{"n":1}]`,
			want: Envelope{JoinRef: []byte(`1`), Ref: []byte(`{"a":1}`), Topic: []byte("room:lobby"), Event: []byte("ping"), Payload: jsonPayload(`{"n":1}`)},
		},
		{
			name: "v2 refs keep their bytes", v: V2, frame: `[1.50e+1,"\u00e9é","t","e",null]`,
			want: Envelope{JoinRef: []byte(`1.50e+1`), Ref: []byte(`"\u00e9é"`), Topic: []byte("t"), Event: []byte("e"), Payload: jsonPayload(`null`)},
		},
		{
			name: "v2 further elements are ignored", v: V2, frame: `["1","2","t","e",[],"more",{"x":[1]}]`,
			want: Envelope{JoinRef: []byte(`"1"`), Ref: []byte(`"2"`), Topic: []byte("t"), Event: []byte("e"), Payload: jsonPayload(`[]`)},
		},
		{
			name: "v2 white space", v: V2, frame: " \t\r\n[ \"1\" , null\n,\t\"t\",\r\"e\" , { \"a\" : [ ] , \"b\" : 1 } ] \n",
			want: Envelope{JoinRef: []byte(`"1"`), Topic: []byte("t"), Event: []byte("e"), Payload: jsonPayload(`{ "a" : [ ] , "b" : 1 }`)},
		},
		{
			name: "v2 escapes", v: V2, frame: `[null,null,"room:\u00e9\n\"\\","\ud83d\ude00\u0041\ud800x","\ud83d\ude00"]`,
			want: Envelope{Topic: []byte("room:é\n\"\\"), Event: []byte("😀A\ufffdx"), Payload: jsonPayload(`"\ud83d\ude00"`)},
		},
		{
			name: "v2 odd topic", v: V2, frame: `["1","1",{"a":[1]},"phx_join",1]`,
			want: Envelope{JoinRef: []byte(`"1"`), Ref: []byte(`"1"`), Topic: []byte(`{"a":[1]}`), TopicOdd: true, Event: []byte("phx_join"), Payload: jsonPayload(`1`)},
		},
		{
			name: "v2 odd topic and event", v: V2, frame: `["1","1",null,42,true]`,
			want: Envelope{JoinRef: []byte(`"1"`), Ref: []byte(`"1"`), Topic: []byte(`null`), TopicOdd: true, Event: []byte("42"), EventOdd: true, Payload: jsonPayload(`true`)},
		},
		{
			name: "v2 empty topic and event", v: V2, frame: `["","","","",""]`,
			want: Envelope{JoinRef: []byte(`""`), Ref: []byte(`""`), Payload: jsonPayload(`""`)},
		},
		{
			name: "v1 join without join_ref", v: V1, frame: `{"topic":"room:lobby","event":"phx_join","payload":{},"ref":"1"}`,
			want: Envelope{Ref: []byte(`"1"`), Topic: []byte("room:lobby"), Event: []byte("phx_join"), Payload: jsonPayload(`{}`)},
		},
		{
			name: "v1 with join_ref", v: V1, frame: `{"topic":"room:lobby","event":"phx_leave","payload":{},"ref":"7","join_ref":"4"}`,
			want: Envelope{JoinRef: []byte(`"4"`), Ref: []byte(`"7"`), Topic: []byte("room:lobby"), Event: []byte("phx_leave"), Payload: jsonPayload(`{}`)},
		},
		{
			name: "v1 null ref is a ref", v: V1, frame: `{"topic":"phoenix","event":"heartbeat","payload":null,"ref":null,"join_ref":null}`,
			want: Envelope{Topic: []byte("phoenix"), Event: []byte("heartbeat"), Payload: jsonPayload(`null`)},
		},
		{
			name: "v1 unknown keys, other order, white space", v: V1, frame: "{ \"ref\" : 3 ,\"Topic\":\"no\",\"x\":{\"topic\":\"no\"}, \"payload\":[1 ],\n\"event\":\"e\",\"topic\":\"t\" } ",
			want: Envelope{Ref: []byte(`3`), Topic: []byte("t"), Event: []byte("e"), Payload: jsonPayload(`[1 ]`)},
		},
		{
			name: "v1 last of equal keys", v: V1, frame: `{"topic":"a","topic":1,"ref":"1","event":"e","payload":{},"ref":null,"topic":"b","join_ref":"9","join_ref":null}`,
			want: Envelope{Topic: []byte("b"), Event: []byte("e"), Payload: jsonPayload(`{}`)},
		},
		{
			name: "v1 escaped key", v: V1, frame: `{"\u0074opic":"t","event":"\u0065","payload":{},"r\u0065f":"1"}`,
			want: Envelope{Ref: []byte(`"1"`), Topic: []byte("t"), Event: []byte("e"), Payload: jsonPayload(`{}`)},
		},
		{
			name: "v1 odd topic", v: V1, frame: `{"topic":["t"],"event":"e","payload":{},"ref":"1"}`,
			want: Envelope{Ref: []byte(`"1"`), Topic: []byte(`["t"]`), TopicOdd: true, Event: []byte("e"), Payload: jsonPayload(`{}`)},
		},
		{
			name: "v1 takes a binary frame as JSON", v: V1, binary: true, frame: `{"topic":"t","event":"e","payload":{},"ref":"1"}`,
			want: Envelope{Ref: []byte(`"1"`), Topic: []byte("t"), Event: []byte("e"), Payload: jsonPayload(`{}`)},
		},
		{
			name: "binary heartbeat, no join_ref", v: V2, binary: true, frame: unhex(t, "00000107093170686f656e6978686561727462656174"),
			want: Envelope{JoinRef: []byte(`""`), Ref: []byte(`"1"`), Topic: []byte("phoenix"), Event: []byte("heartbeat"), Payload: binaryPayload("")},
		},
		{
			name: "binary push", v: V2, binary: true, frame: unhex(t, "0001010a093132726f6f6d3a6c6f62627962696e5f62636173740102"),
			want: Envelope{JoinRef: []byte(`"1"`), Ref: []byte(`"2"`), Topic: []byte("room:lobby"), Event: []byte("bin_bcast"), Payload: binaryPayload("\x01\x02")},
		},
		{
			name: "binary push without refs", v: V2, binary: true, frame: unhex(t, "0000000a03726f6f6d3a6c6f62627962696e09"),
			want: Envelope{JoinRef: []byte(`""`), Ref: []byte(`""`), Topic: []byte("room:lobby"), Event: []byte("bin"), Payload: binaryPayload("\x09")},
		},
		{
			name: "binary refs with what JSON escapes", v: V2, binary: true, frame: "\x00\x03\x02\x01\x01a\"\\\n\u007fte\xff\xfe",
			want: Envelope{JoinRef: []byte(`"a\"\\"`), Ref: []byte("\"\\n\u007f\""), Topic: []byte("t"), Event: []byte("e"), Payload: binaryPayload("\xff\xfe")},
		},
		{
			name: "binary longest strings, nothing else", v: V2, binary: true,
			frame: "\x00\xff\xff\xff\xff" + strings.Repeat("j", 255) + strings.Repeat("r", 255) + strings.Repeat("t", 255) + strings.Repeat("e", 255),
			want: Envelope{
				JoinRef: []byte(`"` + strings.Repeat("j", 255) + `"`), Ref: []byte(`"` + strings.Repeat("r", 255) + `"`),
				Topic: []byte(strings.Repeat("t", 255)), Event: []byte(strings.Repeat("e", 255)), Payload: binaryPayload(""),
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			frame := []byte(tc.frame)
			// What an earlier frame left behind must go.
			e := Envelope{JoinRef: []byte("x"), Ref: []byte("x"), TopicOdd: true, EventOdd: true, Payload: binaryPayload("x")}
			if err := tc.v.Decode(frame, tc.binary, &e); err != nil {
				t.Fatal(err)
			}
			if !same(e, tc.want) {
				t.Errorf("got  %s\nwant %s", show(e), show(tc.want))
			}
			if string(frame) != tc.frame {
				t.Error("the frame was changed")
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	const v1Frame = `{"topic":"t","event":"e","payload":{},"ref":"1"}`
	deep := func(levels int) string {
		return `[null,null,"t","e",` + strings.Repeat("[", levels) + strings.Repeat("]", levels) + `]`
	}
	for _, tc := range []struct {
		name   string
		v      Version
		frame  string
		binary bool
		want   error
	}{
		{"empty", V2, "", false, ErrSyntax},
		{"white space", V2, " ", false, ErrSyntax},
		{"cut object", V2, "{", false, ErrShape},
		{"word", V2, "hello", false, ErrShape},
		{"cut array", V2, "[1,2", false, ErrSyntax},
		{"cut after the bracket", V2, "[", false, ErrSyntax},
		{"NUL", V2, "\x00", false, ErrShape},
		{"empty array", V2, "[]", false, ErrShape},
		{"four elements", V2, `["1","1","t","e"]`, false, ErrShape},
		{"object", V2, v1Frame, false, ErrShape},
		{"trailing comma", V2, `["1","1","t","e",{},]`, false, ErrSyntax},
		{"text after it", V2, `["1","1","t","e",{}]]`, false, ErrSyntax},
		{"second message", V2, `["1","1","t","e",{}]["1","1","t","e",{}]`, false, ErrSyntax},
		{"bad element beyond the fifth", V2, `["1","1","t","e",{},tru]`, false, ErrSyntax},
		{"bad JSON in the payload", V2, `["1","1","t","e",{"a":01}]`, false, ErrSyntax},
		{"control character", V2, "[\"1\",\"1\",\"t\x1f\",\"e\",{}]", false, ErrSyntax},
		{"deepest", V2, deep(MaxDepth - 1), false, nil},
		{"too deep", V2, deep(MaxDepth), false, ErrDepth},
		{"bad UTF-8", V2, "\xff", false, ErrUTF8},
		{"bad UTF-8 in the payload", V2, "[\"1\",\"1\",\"t\",\"e\",\"\xc3\x28\"]", false, ErrUTF8},
		{"UTF-8 surrogate", V2, "[\"1\",\"1\",\"t\",\"e\",\"\xed\xa0\x80\"]", false, ErrUTF8},
		{"UTF-8 goes before JSON", V2, "{]\xff", false, ErrUTF8},
		{"UTF-8 goes before the shape", V2, "[\"\xff\"]", false, ErrUTF8},

		{"empty", V1, "", false, ErrSyntax},
		{"cut object", V1, "{", false, ErrSyntax},
		{"word", V1, "hello", false, ErrShape},
		{"v2 array", V1, `[null,"1","phoenix","heartbeat",{}]`, false, ErrShape},
		{"NUL", V1, "\x00", false, ErrShape},
		{"empty object", V1, "{}", false, ErrShape},
		{"no topic", V1, `{"event":"e","payload":{},"ref":"1"}`, false, ErrShape},
		{"no event", V1, `{"topic":"t","payload":{},"ref":"1"}`, false, ErrShape},
		{"no payload", V1, `{"topic":"t","event":"e","ref":"1"}`, false, ErrShape},
		{"no ref", V1, `{"topic":"t","event":"e","payload":{},"join_ref":"1"}`, false, ErrShape},
		{"no colon", V1, `{"topic" "t"}`, false, ErrSyntax},
		{"key without quotes", V1, `{topic:"t"}`, false, ErrSyntax},
		{"trailing comma", V1, v1Frame[:len(v1Frame)-1] + ",}", false, ErrSyntax},
		{"text after it", V1, v1Frame + "x", false, ErrSyntax},
		{"too deep", V1, `{"a":` + strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth) + "}", false, ErrDepth},
		{"bad UTF-8", V1, `{"` + "\xff" + `":1}`, false, ErrUTF8},
		{"bad UTF-8 in a binary frame", V1, `{"` + "\xff" + `":1}`, true, ErrShape},
		{"binary frame of version 2", V1, unhex(t, "00000107093170686f656e6978686561727462656174"), true, ErrShape},

		{"empty", V2, "", true, ErrShape},
		{"kind 1", V2, "\x01\x00\x00\x00\x00", true, ErrShape},
		{"kind 2", V2, "\x02\x00\x00\x00\x00", true, ErrShape},
		{"JSON in a binary frame", V2, `["1","1","t","e",{}]`, true, ErrShape},
		{"cut header", V2, "\x00\x00\x00\x00", true, ErrShape},
		{"cut strings", V2, "\x00\x01\x01\x01\x02jrte", true, ErrShape},
		{"topic not UTF-8", V2, "\x00\x00\x00\x01\x01\xffe", true, ErrShape},

		{"no version", 0, `["1","1","t","e",{}]`, false, ErrVersion},
		{"no version", 0, "\x00\x00\x00\x00\x00", true, ErrVersion},
	} {
		t.Run(tc.v.String()+" "+tc.name, func(t *testing.T) {
			t.Parallel()
			e := Envelope{Topic: []byte("old")}
			err := tc.v.Decode([]byte(tc.frame), tc.binary, &e)
			if tc.want == nil {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var de *DecodeError
			if !errors.As(err, &de) || !errors.Is(err, tc.want) {
				t.Fatalf("error %v, want a DecodeError with %v", err, tc.want)
			}
			if errors.Is(err, ErrUTF8) != errors.Is(tc.want, ErrUTF8) {
				t.Errorf("%v is ErrUTF8", err)
			}
			if de.Version != tc.v || de.Binary != tc.binary || de.Offset < 0 || de.Offset > len(tc.frame) {
				t.Errorf("wrong details in %+v", de)
			}
			if !reflect.DeepEqual(e, Envelope{}) {
				t.Errorf("left %s in the envelope", show(e))
			}
		})
	}
}

// Errors are logged; what the client sent must not be in them.
func TestDecodeErrorsHoldNoContent(t *testing.T) {
	t.Parallel()
	for _, frame := range []string{
		`["s3cret","s3cret","s3cret","s3cret",{"s3cret":s3cret}]`,
		`["s3cret","s3cret"]`,
		`s3cret`,
		`{"s3cret":"s3cret"}`,
		"\xffs3cret",
		"\x00\xffs3cret",
	} {
		for _, v := range []Version{V1, V2} {
			for _, isBinary := range []bool{false, true} {
				var e Envelope
				err := v.Decode([]byte(frame), isBinary, &e)
				if err == nil || strings.Contains(err.Error(), "s3cret") {
					t.Errorf("%v, binary %v, %q: error %v", v, isBinary, frame, err)
				}
			}
		}
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	for _, tc := range []struct {
		v     Version
		frame []byte
	}{{V2, benchV2}, {V1, benchV1}} {
		var e Envelope
		allocs := testing.AllocsPerRun(100, func() {
			if err := tc.v.Decode(tc.frame, false, &e); err != nil {
				t.Fatal(err)
			}
		})
		if allocs != 0 {
			t.Errorf("%v: %v allocations", tc.v, allocs)
		}
	}
}
