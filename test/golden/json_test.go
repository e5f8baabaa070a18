package golden

import (
	"errors"
	"testing"
)

func TestMatchJSON(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, recorded, received string
		same                     bool
	}{
		{"key order", `{"a":1,"b":[2]}`, `{"b":[2],"a":1}`, true},
		{"number notation", `[1,10]`, `[1.0,1e1]`, true},
		{"another number", `[1]`, `[2]`, false},
		{"number and string", `[1]`, `["1"]`, false},
		{"null and missing", `{"a":null}`, `{}`, false},
		{"extra field", `{}`, `{"a":null}`, false},
		{"null and false", `[null]`, `[false]`, false},
		{"shorter array", `[1,2]`, `[1]`, false},
		{"array order", `[1,2]`, `[2,1]`, false},
		{"object and array", `{}`, `[]`, false},
		{"doubled key in the recording", `{"phx_ref":"$phx_ref1","phx_ref":"mine"}`, `{"phx_ref":"F1"}`, true},
		{"same ref again", `["$phx_ref1","$phx_ref1"]`, `["F1","F1"]`, true},
		{"another ref", `["$phx_ref1","$phx_ref1"]`, `["F1","F2"]`, false},
		{"two refs that are one", `["$phx_ref1","$phx_ref2"]`, `["F1","F1"]`, false},
		{"empty ref", `["$phx_ref1"]`, `[""]`, false},
	} {
		want, err := parseRecorded([]byte(test.recorded))
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseReceived([]byte(test.received))
		if err != nil {
			t.Fatal(err)
		}
		if err := matchJSON(want, got, newBindings()); (err == nil) != test.same {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestParseReceivedRefusesDoubledKeys(t *testing.T) {
	t.Parallel()
	if _, err := parseReceived([]byte(`[{"a":1,"a":1}]`)); !errors.Is(err, errDuplicateKey) {
		t.Errorf("got %v", err)
	}
}

func TestExpandTakesLongerNamesFirst(t *testing.T) {
	t.Parallel()
	b := newBindings()
	b.bindToken("$token_c1", "one")
	b.bindToken("$token_c10", "ten")
	const text = "$token_c10 $token_c1 $b64_token_c1 <<x*3>>"
	if got, want := b.expand(text), "ten one b25l xxx"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestParseCaseRefusesWhatItCannotReplay(t *testing.T) {
	t.Parallel()
	for _, data := range []string{
		`{"case":"x","steps":[{"op":"dance"}]}`,
		`{"case":"x","steps":[{"op":"note","tempo":1}]}`,
		`{"case":"x","steps":[{"op":"recv","conn":"a"}]}`,
		`{"case":"x","steps":[{"op":"send","text":"x"}]}`,
		`{"case":"x","steps":[]}`,
	} {
		if _, err := ParseCase([]byte(data)); err == nil {
			t.Errorf("accepted %s", data)
		}
	}
}

func FuzzParseJSON(f *testing.F) {
	f.Add([]byte(`{"a":[1,"x",null,{"b":true}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		received, err := parseReceived(data)
		if err != nil {
			return
		}
		recorded, err := parseRecorded(data)
		if err != nil {
			t.Fatalf("recorded: %v", err)
		}
		if again := matchJSON(recorded, received, newBindings()); again != nil && !volatileIn(recorded) {
			t.Fatalf("%s differs from itself: %v", data, again)
		}
	})
}

// volatileIn reports whether text in the document stands for something else.
func volatileIn(document any) bool {
	switch document := document.(type) {
	case string:
		return volatilePlaceholder.MatchString(document) || expandRepeated(document) != document
	case []any:
		for _, element := range document {
			if volatileIn(element) {
				return true
			}
		}
	case map[string]any:
		for _, element := range document {
			if volatileIn(element) {
				return true
			}
		}
	}
	return false
}
