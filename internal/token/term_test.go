package token

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Bytes and values as OTP pairs them.
func TestTermKnownBytes(t *testing.T) {
	t.Parallel()
	longTuple := make(Tuple, 256)
	for _, c := range []struct {
		hex   string
		value any
	}{
		{"836900000100" + strings.Repeat("77036e696c", 256), longTuple},
		{"837601fe" + strings.Repeat("c3a9", 255), Atom(strings.Repeat("é", 255))},
		{"8361ff", int64(255)},
		{"836200000100", int64(256)},
		{"8362ffffffff", int64(-1)},
		{"83627fffffff", int64(math.MaxInt32)},
		{"836e040000000080", int64(math.MaxInt32 + 1)},
		{"836280000000", int64(math.MinInt32)},
		{"836e040101000080", int64(math.MinInt32 - 1)},
		{"836e0801" + "0000000000000080", int64(math.MinInt64)},
		{"836e0800" + "0000000000000080", new(big.Int).SetUint64(1 << 63)},
		{"836f0000010000" + strings.Repeat("00", 255) + "01", new(big.Int).Lsh(big.NewInt(1), 255*8)},
		{"83463ff8000000000000", 1.5},
		{"836a", []any{}},
		{"836b0002ff00", []any{int64(255), int64(0)}},
		{"836c00000001" + "6200000100" + "6a", []any{int64(256)}},
		{"836800", Tuple{}},
		{"836d00000002ff00", "\xff\x00"},
		{"837702" + "c3a9", Atom("é")},
	} {
		want, err := hex.DecodeString(c.hex)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := encodeTerm(c.value); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%#v is encoded as %x, %v, want %s", c.value, got, err, c.hex)
		}
		if got, err := decodeTerm(want); err != nil || !reflect.DeepEqual(got, c.value) {
			t.Errorf("%s is decoded as %#v, %v, want %#v", c.hex, got, err, c.value)
		}
	}
}

// Forms that OTP reads, and some of its releases write, but we do not write.
func TestTermOtherForms(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]any{
		"83640004" + "75736572":                                Atom("user"), // ATOM_EXT
		"8373" + "02" + "e961":                                 Atom("éa"),   // SMALL_ATOM_EXT, Latin-1
		"83760004" + "75736572":                                Atom("user"), // ATOM_UTF8_EXT
		"8376000474727565":                                     true,
		"837703" + "6e696c":                                    nil,
		"836900000001" + "6101":                                Tuple{int64(1)}, // LARGE_TUPLE_EXT
		"836f00000001" + "01" + "05":                           int64(-5),       // LARGE_BIG_EXT
		"836e0000":                                             int64(0),
		"836e020101" + "00":                                    int64(-1), // leading zeros
		"836c00000001" + "6107" + "6a":                         []any{int64(7)},
		"836c00000000" + "6a":                                  []any{},
		"837400000001" + "6101" + "6a":                         map[any]any{int64(1): []any{}},
		"8374000000026101610146" + "3ff0000000000000" + "6102": map[any]any{int64(1): int64(1), 1.0: int64(2)},
	} {
		b, err := hex.DecodeString(in)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decodeTerm(b); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is decoded as %#v, %v, want %#v", in, got, err, want)
		}
	}
}

func TestDecodeTermRefuses(t *testing.T) {
	t.Parallel()
	nested := func(depth int) string {
		return "83" + strings.Repeat("6801", depth) + "6a"
	}
	if _, err := decodeTerm(mustHex(t, nested(maxTermDepth-1))); err != nil {
		t.Errorf("a term as deep as allowed: %v", err)
	}
	for _, c := range []struct{ name, hex, want string }{
		{"nothing", "", "not an external term"},
		{"version only", "83", "not an external term"},
		{"other version", "8261ff", "not an external term"},
		{"trailing bytes", "83610161", "1 bytes follow"},
		{"truncated integer", "83620000", "ends early"},
		{"truncated binary", "836d0000000561", "ends early"},
		{"huge binary", "836dffffffff61", "ends early"},
		{"huge list", "836cffffffff6a", "ends early"},
		{"huge tuple", "8369ffffffff6a", "ends early"},
		{"huge map", "8374ffffffff6a", "ends early"},
		{"huge integer", "836f7fffffff00", "an integer has 2147483647 bytes"},
		{"too deep", nested(maxTermDepth), "more than 64 deep"},
		{"improper list", "836c0000000161016102", "improper"},
		{"float NaN", "83467ff8000000000001", "not finite"},
		{"float infinity", "83467ff0000000000000", "not finite"},
		{"atom no UTF-8", "837701ff", "not UTF-8"},
		{"long atom", "83640100" + strings.Repeat("61", 256), "256 characters"},
		{"same key twice", "837400000002" + "61016101" + "61016102", "same key twice"},
		{"list as key", "837400000001" + "6a6101", "a key of type []interface {}"},
		{"tuple as key", "837400000001" + "68006101", "a key of type token.Tuple"},
		{"pid", "8358", "external tag 88"},
		{"port", "8359", "external tag 89"},
		{"reference", "835a", "external tag 90"},
		{"function", "8370", "external tag 112"},
		{"export", "8371", "external tag 113"},
		{"bitstring", "834d", "external tag 77"},
		{"old float", "8363", "external tag 99"},
		{"compressed within", "836801" + "50", "external tag 80"},
		{"compressed, nothing", "8350", "ends early"},
		{"compressed, no zlib", "8350000000020102", "compressed term"},
	} {
		_, err := decodeTerm(mustHex(t, c.hex))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want one with %q", c.name, err, c.want)
		}
	}
}

func TestDecodeTermLimits(t *testing.T) {
	t.Parallel()
	list := func(n int) []byte {
		b := binary.BigEndian.AppendUint32([]byte{termVersion, tagList}, uint32(n))
		return append(b, bytes.Repeat([]byte{tagNil}, n+1)...)
	}
	if _, err := decodeTerm(list(maxTermElements)); err != nil {
		t.Errorf("as many elements as allowed: %v", err)
	}
	if _, err := decodeTerm(list(maxTermElements + 1)); err == nil || !strings.Contains(err.Error(), "elements") {
		t.Errorf("too many elements: %v", err)
	}
	big := func(n int) []byte {
		b := binary.BigEndian.AppendUint32([]byte{termVersion, tagBinary}, uint32(n))
		return append(b, make([]byte, n)...)
	}
	if _, err := decodeTerm(big(maxTermSize - 6)); err != nil {
		t.Errorf("as many bytes as allowed: %v", err)
	}
	if _, err := decodeTerm(big(maxTermSize)); err == nil {
		t.Error("too many bytes are accepted")
	}

	body := big(maxTermSize - 5)[1:]
	if _, err := decodeTerm(compressed(t, body, len(body))); err != nil {
		t.Errorf("compressed, as many bytes as allowed: %v", err)
	}
	body = big(2 * maxTermSize)[1:]
	for name, announced := range map[string]int{"announced": len(body), "not announced": 100} {
		if _, err := decodeTerm(compressed(t, body, announced)); err == nil {
			t.Errorf("a compressed bomb whose size is %s is accepted", name)
		}
	}
	if _, err := decodeTerm(compressed(t, []byte{tagNil}, 2)); err == nil {
		t.Error("a compressed term shorter than announced is accepted")
	}
}

func TestEncodeTermRefuses(t *testing.T) {
	t.Parallel()
	deep := any("x")
	for range maxTermDepth {
		deep = []any{deep}
	}
	for _, c := range []struct {
		want  string
		value any
	}{
		{"not finite", math.Inf(1)},
		{"not finite", map[any]any{math.NaN(): 1}},
		{"*big.Int is nil", (*big.Int)(nil)},
		{"an integer has 1025 bytes", new(big.Int).Lsh(big.NewInt(1), 8*maxBigBytes)},
		{"more than 64 deep", deep},
		{"not UTF-8", Atom("\xff")},
		{"256 characters", Atom(strings.Repeat("é", 256))},
		{"same key twice", map[any]any{int64(1): 1, 1: 1}},
		{"same key twice", map[any]any{Atom("true"): 1, true: 1}},
		{"a key of type [1]int", map[any]any{[1]int{}: 1}},
		{"type float32", float32(1)},
		{"more than 131072 elements", make([]any, maxTermElements+1)},
		{"it takes 1048582 bytes", strings.Repeat("x", maxTermSize)},
	} {
		if _, err := encodeTerm(c.value); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error is %v, want one with %q", err, c.want)
		}
	}
}

// Go types that are a convenience of Sign come back in the one form.
func TestEncodeTermOtherTypes(t *testing.T) {
	t.Parallel()
	b, err := encodeTerm(Tuple{
		7, uint64(math.MaxUint64), big.NewInt(5), []byte("bytes"),
		[]string{"a"},
		[]any{1, 2},
		map[string]any{"k": nil},
		[]any(nil), Atom("false"),
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeTerm(b)
	want := Tuple{
		int64(7), new(big.Int).SetUint64(math.MaxUint64), int64(5), "bytes",
		[]any{"a"},
		[]any{int64(1), int64(2)},
		map[any]any{"k": nil},
		[]any{},
		false,
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v, %v, want %#v", got, err, want)
	}
}

// Keys stand in Erlang's order: integers, floats, atoms, binaries.
func TestEncodeTermOrdersKeys(t *testing.T) {
	t.Parallel()
	got, err := encodeTerm(map[any]any{
		"b": 0, "a": 0, Atom("z"): 0, nil: 0, true: 0, 1.5: 0, -2.5: 0, 9: 0, -1: 0, "": 0, Atom("a"): 0,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "83740000000b" +
		"62ffffffff6100" + "61096100" + // -1, 9
		"46c0040000000000006100" + "463ff80000000000006100" + // -2.5, 1.5
		"7701616100" + "77036e696c6100" + "7704747275656100" + "77017a6100" + // a, nil, true, z
		"6d000000006100" + "6d00000001616100" + "6d00000001626100" // "", "a", "b"
	if hex.EncodeToString(got) != want {
		t.Errorf("got  %x\nwant %s", got, want)
	}
}

// What is encoded is decoded to the same value, and again to the same bytes.
func TestTermRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := drawTerm(t, 4)
		b, err := encodeTerm(v)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeTerm(b)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, v) {
			t.Fatalf("got %#v, want %#v", got, v)
		}
		again, err := encodeTerm(got)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("encoded again as %x, %v, want %x", again, err, b)
		}
	})
}

// drawTerm draws a value in the form that decodeTerm gives.
func drawTerm(t *rapid.T, depth int) any {
	kinds := 5
	if depth > 0 {
		kinds = 8
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0, 1, 2:
		return drawKey(t)
	case 3:
		sign := rapid.SampledFrom([]int64{-1, 1}).Draw(t, "sign")
		magnitude := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "magnitude")
		n := new(big.Int).SetBytes(magnitude)
		return normalizeBig(n.Mul(n, big.NewInt(sign)))
	case 4:
		list := []any{}
		for _, b := range rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "bytes") {
			list = append(list, int64(b))
		}
		return list
	case 5:
		return Tuple(drawTerms(t, depth))
	case 6:
		return drawTerms(t, depth)
	default:
		m := map[any]any{}
		for range rapid.IntRange(0, 5).Draw(t, "size") {
			m[drawKey(t)] = drawTerm(t, depth-1)
		}
		return m
	}
}

func drawTerms(t *rapid.T, depth int) []any {
	terms := []any{}
	for range rapid.IntRange(0, 5).Draw(t, "size") {
		terms = append(terms, drawTerm(t, depth-1))
	}
	return terms
}

func drawKey(t *rapid.T) any {
	switch rapid.IntRange(0, 4).Draw(t, "key") {
	case 0:
		return rapid.Int64().Draw(t, "integer")
	case 1:
		return rapid.Float64().Draw(t, "float")
	case 2:
		return string(rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "binary"))
	case 3:
		return rapid.SampledFrom([]any{nil, true, false}).Draw(t, "constant")
	default:
		return Atom("a" + rapid.StringN(0, 100, -1).Draw(t, "atom"))
	}
}

func mustHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func compressed(t testing.TB, body []byte, announced int) []byte {
	t.Helper()
	out := bytes.NewBuffer(binary.BigEndian.AppendUint32([]byte{termVersion, tagCompressed}, uint32(announced)))
	z := zlib.NewWriter(out)
	if _, err := z.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
