//go:build linux

package load

import (
	"encoding/json"
	"errors"
	"testing"
)

func TestParseEnvelope(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text                               string
		joinRef, ref, topic, event, answer string
		ok                                 bool
	}{
		{`[null,null,"e:1","m",{"q":"0000000007"}]`, "", "", "e:1", "m", `{"q":"0000000007"}`, false},
		{`["j0","12","e:1","phx_reply",{"response":{},"status":"ok"}]`, "j0", "12", "e:1", "phx_reply", `{"response":{},"status":"ok"}`, true},
		{`["j0","12","e:1","phx_reply",{"status":"ok","response":{}}]`, "j0", "12", "e:1", "phx_reply", `{"status":"ok","response":{}}`, true},
		{`["j0","12","e:1","phx_reply",{"response":{},"status":"error"}]`, "j0", "12", "e:1", "phx_reply", `{"response":{},"status":"error"}`, false},
	} {
		e, err := parseEnvelope([]byte(c.text))
		if err != nil || string(e.JoinRef) != c.joinRef || string(e.Ref) != c.ref || string(e.Topic) != c.topic ||
			string(e.Event) != c.event || string(e.Payload) != c.answer || e.OK() != c.ok {
			t.Errorf("%s: %q, %v", c.text, e, err)
		}
	}
	for _, bad := range []string{"", "[", "{}", `["a"]`, `[1,null,"t","e",{}]`, `[null,null,"t\"","e",{}]`, `[null,null,"t","e",{}`, `[null,null,null,"e",{}]`} {
		if _, err := parseEnvelope([]byte(bad)); !errors.Is(err, errEnvelope) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// What it takes for a message of the load tool's is the same to encoding/json.
func FuzzParseEnvelope(f *testing.F) {
	f.Add([]byte(`["j0","12","e:1","phx_reply",{"response":{},"status":"ok"}]`))
	f.Add([]byte(`[null,null,"e:1","m",{}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := parseEnvelope(text)
		var parts []json.RawMessage
		if err != nil || json.Unmarshal(text, &parts) != nil || len(parts) != 5 {
			return
		}
		for i, got := range [][]byte{e.JoinRef, e.Ref, e.Topic, e.Event} {
			want := parts[i]
			if want = want[:len(want)-1]; string(parts[i]) == "null" && got == nil {
				continue
			}
			if string(want) != `"`+string(got) {
				t.Errorf("%s: part %d is %q", text, i, got)
			}
		}
	})
}

func TestNumber(t *testing.T) {
	t.Parallel()
	if n, rest, ok := Number([]byte(`{"q":"0000000042","x"`), []byte(numberMark)); n != 42 || string(rest) != `","x"` || !ok {
		t.Errorf("%d, %q, %v", n, rest, ok)
	}
	for _, bad := range []string{"", "{}", `{"q":"`, `{"q":"x`} {
		if _, _, ok := Number([]byte(bad), []byte(numberMark)); ok {
			t.Errorf("%q has a number", bad)
		}
	}
	payload := NumberedPayload(128)
	putNumber(payload[len("{"+numberMark):], 1234567890)
	if n, _, ok := Number(payload, []byte(numberMark)); n != 1234567890 || !ok || len(payload) != 128 || !json.Valid(payload) {
		t.Errorf("%s: %d", payload, n)
	}
}
