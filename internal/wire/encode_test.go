package wire

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

var (
	one    = []byte(`"1"`)
	two    = []byte(`"2"`)
	number = []byte(`3`)
)

func TestEncode(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		frame func(Version) (*Frame, error)
		v1    string // empty: not tried
		v2    string
	}{
		{
			name:  "reply ok",
			frame: func(v Version) (*Frame, error) { return v.Reply(one, two, "room:lobby", "ok", jsonPayload(`{}`)) },
			v1:    `{"event":"phx_reply","payload":{"response":{},"status":"ok"},"ref":"2","topic":"room:lobby"}`,
			v2:    `["1","2","room:lobby","phx_reply",{"response":{},"status":"ok"}]`,
		},
		{
			name: "reply error without join_ref",
			frame: func(v Version) (*Frame, error) {
				return v.Reply(nil, two, "nope:x", "error", jsonPayload(`{"reason":"unmatched topic"}`))
			},
			v1: `{"event":"phx_reply","payload":{"response":{"reason":"unmatched topic"},"status":"error"},"ref":"2","topic":"nope:x"}`,
			v2: `[null,"2","nope:x","phx_reply",{"response":{"reason":"unmatched topic"},"status":"error"}]`,
		},
		{
			name: "reply to odd refs with a response that is no map",
			frame: func(v Version) (*Frame, error) {
				return v.Reply(number, []byte(`{"a":1}`), "t", "weird", jsonPayload(`[1, "x"]`))
			},
			v1: `{"event":"phx_reply","payload":{"response":[1, "x"],"status":"weird"},"ref":{"a":1},"topic":"t"}`,
			v2: `[3,{"a":1},"t","phx_reply",{"response":[1, "x"],"status":"weird"}]`,
		},
		{
			name:  "reply with the zero payload",
			frame: func(v Version) (*Frame, error) { return v.Reply(nil, nil, "t", "ok", Payload{}) },
			v1:    `{"event":"phx_reply","payload":{"response":{},"status":"ok"},"ref":null,"topic":"t"}`,
			v2:    `[null,null,"t","phx_reply",{"response":{},"status":"ok"}]`,
		},
		{
			name: "reply to an odd topic",
			frame: func(v Version) (*Frame, error) {
				return v.ReplyOddTopic(nil, one, []byte(`{"a":[1]}`), "error", jsonPayload(`{"reason":"unmatched topic"}`))
			},
			v1: `{"event":"phx_reply","payload":{"response":{"reason":"unmatched topic"},"status":"error"},"ref":"1","topic":{"a":[1]}}`,
			v2: `[null,"1",{"a":[1]},"phx_reply",{"response":{"reason":"unmatched topic"},"status":"error"}]`,
		},
		{
			name:  "push",
			frame: func(v Version) (*Frame, error) { return v.Push(one, "room:lobby", "pushed", jsonPayload(`{"n":1}`)) },
			v1:    `{"event":"pushed","payload":{"n":1},"ref":null,"topic":"room:lobby"}`,
			v2:    `["1",null,"room:lobby","pushed",{"n":1}]`,
		},
		{
			name:  "broadcast",
			frame: func(v Version) (*Frame, error) { return v.Broadcast("room:lobby", "new_msg", jsonPayload(`{"n":1}`)) },
			v1:    `{"event":"new_msg","payload":{"n":1},"ref":null,"topic":"room:lobby"}`,
			v2:    `[null,null,"room:lobby","new_msg",{"n":1}]`,
		},
		{
			name:  "close",
			frame: func(v Version) (*Frame, error) { return v.Control(one, one, "room:lobby", "phx_close", Payload{}) },
			v1:    `{"event":"phx_close","payload":{},"ref":"1","topic":"room:lobby"}`,
			v2:    `["1","1","room:lobby","phx_close",{}]`,
		},
		{
			name: "error of a v1 client without join_ref",
			frame: func(v Version) (*Frame, error) {
				return v.Control(nil, nil, "room:lobby", "phx_error", jsonPayload(`{"reason":"channel_crash"}`))
			},
			v1: `{"event":"phx_error","payload":{"reason":"channel_crash"},"ref":null,"topic":"room:lobby"}`,
			v2: `[null,null,"room:lobby","phx_error",{"reason":"channel_crash"}]`,
		},
		{
			name:  "map after white space",
			frame: func(v Version) (*Frame, error) { return v.Broadcast("t", "e", jsonPayload(" \t\r\n{}")) },
			v1:    "{\"event\":\"e\",\"payload\": \t\r\n{},\"ref\":null,\"topic\":\"t\"}",
			v2:    "[null,null,\"t\",\"e\", \t\r\n{}]",
		},
		{
			name:  "strings with what JSON escapes",
			frame: func(v Version) (*Frame, error) { return v.Broadcast("é\"\\", "\n😀", jsonPayload(`{}`)) },
			v1:    `{"event":"\n😀","payload":{},"ref":null,"topic":"é\"\\"}`,
			v2:    `[null,null,"é\"\\","\n😀",{}]`,
		},
		{
			name:  "version 1 pushes what is no map",
			frame: func(v Version) (*Frame, error) { return v.Push(one, "t", "e", jsonPayload(`[1]`)) },
			v1:    `{"event":"e","payload":[1],"ref":null,"topic":"t"}`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for v, want := range map[Version]string{V1: tc.v1, V2: tc.v2} {
				if want == "" {
					continue
				}
				f, err := tc.frame(v)
				if err != nil {
					t.Fatalf("%v: %v", v, err)
				}
				if got := string(f.Payload()); got != want || f.Binary() {
					t.Errorf("%v: got %s (binary %v)\nwant %s", v, got, f.Binary(), want)
				}
			}
		})
	}
}

func TestEncodeBinary(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		frame func() (*Frame, error)
		want  string
	}{
		{
			"reply", func() (*Frame, error) {
				return V2.Reply(one, two, "room:lobby", "ok", binaryPayload(`text:{"a":1}`))
			}, "\x01\x01\x01\x0a\x0212room:lobbyoktext:{\"a\":1}",
		},
		{
			"reply to null refs", func() (*Frame, error) { return V2.Reply(nil, []byte("null"), "t", "ok", binaryPayload("x")) },
			"\x01\x00\x00\x01\x02tokx",
		},
		{
			"reply to refs of other types", func() (*Frame, error) {
				return V2.Reply([]byte("-1.5e3"), []byte("true"), "t", "ok", binaryPayload("x"))
			}, "\x01\x06\x04\x01\x02-1.5e3truetokx",
		},
		{
			"reply to escaped refs", func() (*Frame, error) {
				return V2.Reply([]byte(`"\u00e9\""`), []byte(`""`), "t", "ok", binaryPayload(""))
			}, "\x01\x03\x00\x01\x02é\"tok",
		},
		{
			"push", func() (*Frame, error) { return V2.Push(one, "room:lobby", "bin", binaryPayload("\xff\x00")) },
			"\x00\x01\x0a\x031room:lobbybin\xff\x00",
		},
		{
			"control drops the ref", func() (*Frame, error) { return V2.Control(one, two, "t", "e", binaryPayload("x")) },
			"\x00\x01\x01\x011tex",
		},
		{
			"broadcast", func() (*Frame, error) { return V2.Broadcast("room:lobby", "bin_bcast", binaryPayload("\x01\x02")) },
			unhex(t, "020a09726f6f6d3a6c6f62627962696e5f62636173740102"),
		},
		{
			"broadcast of nothing with strings of 255 bytes", func() (*Frame, error) {
				return V2.Broadcast(strings.Repeat("t", 255), strings.Repeat("e", 255), binaryPayload(""))
			}, "\x02\xff\xff" + strings.Repeat("t", 255) + strings.Repeat("e", 255),
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f, err := tc.frame()
			if err != nil {
				t.Fatal(err)
			}
			if got := string(f.Payload()); got != tc.want || !f.Binary() {
				t.Errorf("got %s (binary %v), want %s", hex.EncodeToString(f.Payload()), f.Binary(), hex.EncodeToString([]byte(tc.want)))
			}
		})
	}
}

func TestEncodeRefuses(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 256)
	bin := binaryPayload("s3cret")
	for _, tc := range []struct {
		name  string
		frame func() (*Frame, error)
		want  error
		names string // must be in the error
	}{
		{"v2 push of an array", func() (*Frame, error) { return V2.Push(one, "t", "ev", jsonPayload(`["s3cret"]`)) }, ErrPayloadNotMap, `"ev"`},
		{"v2 push of a string", func() (*Frame, error) { return V2.Push(one, "t", "ev", jsonPayload(`"{s3cret"`)) }, ErrPayloadNotMap, `"ev"`},
		{"v2 broadcast of a number", func() (*Frame, error) { return V2.Broadcast("t", "ev", jsonPayload(` 42`)) }, ErrPayloadNotMap, `"ev"`},
		{"v2 broadcast of null", func() (*Frame, error) { return V2.Broadcast("t", "ev", jsonPayload(`null`)) }, ErrPayloadNotMap, `"ev"`},
		{"v2 control of white space", func() (*Frame, error) { return V2.Control(one, one, "t", "ev", jsonPayload(` `)) }, ErrPayloadNotMap, `"ev"`},
		{"v1 binary reply", func() (*Frame, error) { return V1.Reply(one, one, "t", "ok", bin) }, ErrBinaryToV1, ""},
		{"v1 binary push", func() (*Frame, error) { return V1.Push(one, "t", "e", bin) }, ErrBinaryToV1, ""},
		{"v1 binary broadcast", func() (*Frame, error) { return V1.Broadcast("t", "e", bin) }, ErrBinaryToV1, ""},
		{"long join_ref", func() (*Frame, error) { return V2.Push([]byte(`"`+long+`"`), "t", "e", bin) }, ErrTooLong, "join_ref of 256"},
		{"long ref", func() (*Frame, error) { return V2.Reply(one, []byte(`"`+long+`"`), "t", "ok", bin) }, ErrTooLong, "ref of 256"},
		{"long topic", func() (*Frame, error) { return V2.Broadcast(long, "e", bin) }, ErrTooLong, "topic of 256"},
		{"long event", func() (*Frame, error) { return V2.Broadcast("t", long, bin) }, ErrTooLong, "event of 256"},
		{"long status", func() (*Frame, error) { return V2.Reply(one, one, "t", long, bin) }, ErrTooLong, "status of 256"},
		{"object as ref", func() (*Frame, error) { return V2.Reply(one, []byte(`{"a":1}`), "t", "ok", bin) }, ErrNotText, "ref"},
		{"array as join_ref", func() (*Frame, error) { return V2.Push([]byte(`[1]`), "t", "e", bin) }, ErrNotText, "join_ref"},
		{"ref that is no JSON", func() (*Frame, error) { return V2.Reply(one, []byte(`"`), "t", "ok", bin) }, ErrSyntax, "ref"},
		{"ref with a bad escape", func() (*Frame, error) { return V2.Reply(one, []byte(`"\x"`), "t", "ok", bin) }, ErrSyntax, "ref"},
		{"binary to an odd topic", func() (*Frame, error) { return V2.ReplyOddTopic(nil, one, []byte("1"), "ok", bin) }, ErrNotText, "topic"},
		{"topic not UTF-8", func() (*Frame, error) { return V2.Broadcast("\xff", "e", Payload{}) }, ErrUTF8, "topic"},
		{"event not UTF-8", func() (*Frame, error) { return V1.Push(one, "t", "\xff", Payload{}) }, ErrUTF8, "event"},
		{"status not UTF-8", func() (*Frame, error) { return V1.Reply(one, one, "t", "\xff", Payload{}) }, ErrUTF8, "status"},
		{"no version", func() (*Frame, error) { return Version(0).Broadcast("t", "e", Payload{}) }, ErrVersion, "0"},
		{"no version, binary", func() (*Frame, error) { return Version(3).Broadcast("t", "e", bin) }, ErrVersion, "3"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f, err := tc.frame()
			if f != nil || !errors.Is(err, tc.want) {
				t.Fatalf("frame %v, error %v, want %v", f, err, tc.want)
			}
			if msg := err.Error(); !strings.Contains(msg, tc.names) || strings.Contains(msg, "s3cret") {
				t.Errorf("error text %q", msg)
			}
		})
	}
}
