package verify

import "testing"

func TestParsePayload(t *testing.T) {
	t.Parallel()
	parse := func(text string) Payload {
		t.Helper()
		p, err := ParsePayload([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	stored := parse(`{"body": "c1-7 héllo", "n": 12345678901234567890, "deep": {"b": 1, "a": [1.50]}}`)
	sent := parse(`{"deep":{"a":[1.50],"b":1},"id":7,"n":12345678901234567890,"body":"c1-7 h\u00e9llo"}`)
	if stored.ID != 0 || sent.ID != 7 || sent.Key != "c1-7" {
		t.Errorf("got %+v and %+v", stored, sent)
	}
	if stored.Whole != sent.Whole || stored.Text != sent.Text || stored.Text != SumOf("c1-7 héllo") {
		t.Error("the same payload, stored and delivered, has two sums")
	}
	for _, other := range []string{
		`{"body": "c1-7 hello", "n": 12345678901234567890, "deep": {"b": 1, "a": [1.50]}}`,
		`{"body": "c1-7 héllo", "n": 12345678901234567891, "deep": {"b": 1, "a": [1.50]}}`,
		`{"body": "c1-7 héllo", "n": 12345678901234567890, "deep": {"b": 1, "a": [1.50, 2]}}`,
		`{"body": "c1-7 héllo", "n": 12345678901234567890}`,
		`{"body": "c1-7 héllo", "n": 12345678901234567890, "deep": {"b": 1, "a": [1.50]}, "key": "k"}`,
	} {
		if parse(other).Whole == stored.Whole {
			t.Errorf("%s has the same sum", other)
		}
	}
}

func TestParsePayloadRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{``, `null`, `[]`, `{`, `{}`, `{"body":1}`, `{"body":"a","id":"1"}`, `{"body":"a","id":1.5}`, `{"body":"a"}{}`} {
		if p, err := ParsePayload([]byte(text)); err == nil {
			t.Errorf("%s was taken as %+v", text, p)
		}
	}
}

func TestRanges(t *testing.T) {
	t.Parallel()
	if got := ranges([]int64{9, 3, 1, 2, 3, 7, 8}); got != "1 to 3, 7 to 9" {
		t.Errorf("got %s", got)
	}
}
