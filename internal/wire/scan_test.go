package wire

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// scan checks a whole text, as json.Valid does.
func scan(data []byte) error {
	i, err := skipValue(data, 0, 0)
	if err != nil {
		return err
	}
	if skipSpace(data, i) != len(data) {
		return ErrSyntax
	}
	return nil
}

// checkScan compares with encoding/json. Two differences are allowed: invalid
// UTF-8 is refused, and the nesting limit is lower.
func checkScan(t interface {
	Helper()
	Errorf(string, ...any)
}, data []byte,
) {
	t.Helper()
	err := scan(data)
	if errors.Is(err, ErrDepth) {
		if strings.Count(string(data), "[")+strings.Count(string(data), "{") <= MaxDepth {
			t.Errorf("%q: %v", data, err)
		}
		return
	}
	want := json.Valid(data) && utf8.Valid(data)
	if (err == nil) != want {
		t.Errorf("%q: error %v, want it valid: %v", data, err, want)
	}
	if errors.Is(err, ErrUTF8) && utf8.Valid(data) {
		t.Errorf("%q is UTF-8, but: %v", data, err)
	}
}

var scanSeeds = []string{
	"", " ", "null", "true", "false", "nul", "nulll", "tru", "falsy", "True",
	"0", "-0", "-", "01", "-01", "1.", ".5", "1.5", "1.e1", "1e", "1e+", "1E-07", "+1", "1e1.5", "0x1", "1_000", "NaN", "123456789012345678901234567890",
	`""`, `"`, `"\"`, `"\\"`, `"\/\b\f\n\r\t"`, `"\a"`, `"\u12"`, `"\u12G4"`, `"\uD83d\uDe00"`, `"\ud800"`, `"\ude00\ud83d"`, "\"\x7f\"", "\"\x1f\"", "\"\t\"", "\"\x00\"",
	`"é😀"`, "\"\xff\"", "\"\xc3\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", "\"\ufffd\"", "\xff",
	"[]", "[ ]", "[", "]", "[,]", "[1,]", "[,1]", "[1 2]", "[1,2]", "[[],[[]],{}]", "[}", "[1}", "[\"a\":1]",
	"{}", "{ }", "{", "}", "{,}", `{"a"}`, `{"a":}`, `{"a":1,}`, `{"a":1 "b":2}`, `{"a":1,"a":2}`, `{1:2}`, `{a:1}`, `{"a":1]`, `{"a":{"b":[{"c":null}]}}`, "{]",
	"1 2", "{} x", "\ufeff{}", "\v1", "\u00a01", "// c\n1", "'a'",
	strings.Repeat("[", 70) + strings.Repeat("]", 70),
	strings.Repeat(`{"a":[`, 70) + "1" + strings.Repeat(`]}`, 70),
	strings.Repeat(`[{"a":`, 70) + "1" + strings.Repeat(`}]`, 69) + "]}",
	strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth),
	strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1),
}

func TestScanAgainstEncodingJSON(t *testing.T) {
	t.Parallel()
	for _, seed := range scanSeeds {
		checkScan(t, []byte(seed))
	}
}

func TestScanDepth(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]string{{"[", "]"}, {`{"a":`, "}"}} {
		for _, inner := range []string{"", "1"} {
			if pair[0] != "[" && inner == "" {
				inner = "{}" // counts as a level
			}
			levels := MaxDepth - strings.Count(inner, "{")
			nested := func(n int) []byte {
				return []byte(strings.Repeat(pair[0], n) + inner + strings.Repeat(pair[1], n))
			}
			if err := scan(nested(levels)); err != nil {
				t.Errorf("%d levels of %s: %v", levels, pair[0], err)
			}
			if err := scan(nested(levels + 1)); !errors.Is(err, ErrDepth) {
				t.Errorf("%d levels of %s: error %v, want ErrDepth", levels+1, pair[0], err)
			}
		}
	}
}

// jsonText draws valid JSON with white space, escapes and all number forms.
func jsonText() *rapid.Generator[string] {
	space := rapid.SampledFrom([]string{"", "", "", " ", "\n\t", "\r"})
	str := rapid.Custom(func(t *rapid.T) string {
		part := rapid.OneOf(
			rapid.SampledFrom([]string{`\n`, `\"`, `\\`, `\/`, `\u0041`, `\ud83d\ude00`, `\udead`, "é", "😀", "a", "room:", "\u2028"}),
			rapid.StringMatching(`[ !#-\[\]-~]{0,6}`),
		)
		return `"` + strings.Join(rapid.SliceOfN(part, 0, 5).Draw(t, "parts"), "") + `"`
	})
	scalar := rapid.OneOf(
		str,
		rapid.SampledFrom([]string{"null", "true", "false", "{}", "[]"}),
		rapid.StringMatching(`-?(0|[1-9][0-9]{0,6})(\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?`),
	)
	var value func(depth int) *rapid.Generator[string]
	value = func(depth int) *rapid.Generator[string] {
		if depth == 0 {
			return scalar
		}
		return rapid.Custom(func(t *rapid.T) string {
			pad := func() string { return space.Draw(t, "space") }
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				elements := rapid.SliceOfN(value(depth-1), 0, 4).Draw(t, "elements")
				return "[" + pad() + strings.Join(elements, pad()+","+pad()) + pad() + "]"
			case 1:
				members := rapid.SliceOfN(value(depth-1), 0, 4).Draw(t, "members")
				for i := range members {
					members[i] = str.Draw(t, "key") + pad() + ":" + pad() + members[i]
				}
				return "{" + pad() + strings.Join(members, pad()+","+pad()) + pad() + "}"
			default:
				return scalar.Draw(t, "scalar")
			}
		})
	}
	return value(4)
}

func TestScanGeneratedJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		data := []byte(jsonText().Draw(t, "json"))
		if err := scan(data); err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		checkScan(t, data)
	})
}

func TestScanMutatedJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		data := []byte(jsonText().Draw(t, "json"))
		interesting := rapid.OneOf(rapid.SampledFrom([]byte("{}[]:,\"\\ \n0-.eEun\x00\x1f\x7f\x80\xc3\xff")), rapid.Byte())
		for range rapid.IntRange(1, 4).Draw(t, "mutations") {
			at := rapid.IntRange(0, len(data)).Draw(t, "at")
			switch c := interesting.Draw(t, "byte"); rapid.IntRange(0, 2).Draw(t, "how") {
			case 0:
				data = append(data[:at:at], append([]byte{c}, data[at:]...)...)
			case 1:
				if at < len(data) {
					data[at] = c
				}
			case 2:
				end := rapid.IntRange(at, len(data)).Draw(t, "end")
				data = append(data[:at:at], data[end:]...)
			}
		}
		checkScan(t, data)
	})
}
