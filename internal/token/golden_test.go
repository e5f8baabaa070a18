package token

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// golden are tokens that a Phoenix application minted, and what its verify said.
type golden struct {
	Vectors []struct {
		goldenToken
		Data          string
		DerivedKeyHex string `json:"derived_key_hex"`
		MaxAge        any    `json:"max_age_in_token"` // seconds or ":infinity"
		SignedAtMs    int64  `json:"signed_at_ms"`
		SignatureHex  string `json:"signature_hex"`
	}
	Legacy, Other, Negative []goldenToken
	MaxAgeChecks            []struct{ Check, Verify string } `json:"max_age_checks_on_first_vector"`
	NilToken                string                           `json:"nil_token"`
}

type goldenToken struct {
	Description        string
	Token              string
	Salt               string
	SecretKeyBase      string `json:"secret_key_base"`
	KeyIterations      int    `json:"key_iterations"`
	KeyLength          int    `json:"key_length"`
	KeyDigest          string `json:"key_digest"`
	PayloadETFHex      string `json:"payload_etf_hex"`
	Verify             string
	VerifyWithInfinity string `json:"verify_with_infinity"`
}

func loadGolden(t testing.TB) golden {
	t.Helper()
	text, err := os.ReadFile("testdata/tokens.json")
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	if len(g.Vectors) != 9 || len(g.Legacy) != 2 || len(g.Other) != 3 || len(g.Negative) != 8 || len(g.MaxAgeChecks) != 5 {
		t.Fatal("testdata/tokens.json does not hold the vectors that this test knows")
	}
	return g
}

func (g goldenToken) signer(t testing.TB, now time.Time) *Signer {
	t.Helper()
	s, err := New(g.SecretKeyBase, Options{
		Iterations: g.KeyIterations,
		KeyLength:  g.KeyLength,
		Digest:     Digest(g.KeyDigest),
		Now:        func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// goldenData are the Go values of the vectors' data, by their Elixir text.
func goldenData() map[string]any {
	big1, _ := new(big.Int).SetString("12345678901234567890", 10)
	return map[string]any{
		`1`:         int64(1),
		`"user-42"`: "user-42",
		`"inf"`:     "inf",
		`"x"`:       "x",
		`""`:        "",
		`%{admin: true, id: 7, name: nil, role: "admin"}`: map[any]any{
			Atom("admin"): true, Atom("id"): int64(7), Atom("name"): nil, Atom("role"): "admin",
		},
		`%{"big" => 12345678901234567890, "f" => 1.5, "id" => 300, "neg" => -5, "tags" => ["a", "b"]}`: map[any]any{
			"big": big1, "f": 1.5, "id": int64(300), "neg": int64(-5), "tags": []any{"a", "b"},
		},
		`{:user, 12, [1, 2, 3]}`: Tuple{Atom("user"), int64(12), []any{int64(1), int64(2), int64(3)}},
	}
}

func TestGoldenVectorsVerify(t *testing.T) {
	t.Parallel()
	data := goldenData()
	for _, v := range loadGolden(t).Vectors {
		t.Run(v.Description, func(t *testing.T) {
			t.Parallel()
			want, ok := data[v.Data]
			if !ok {
				t.Fatalf("no Go value for the data %s", v.Data)
			}
			s := v.signer(t, time.UnixMilli(v.SignedAtMs))
			key, err := s.key(v.Salt)
			if err != nil {
				t.Fatal(err)
			}
			if hex.EncodeToString(key) != v.DerivedKeyHex {
				t.Errorf("the derived key is not Phoenix's")
			}
			got, err := s.Verify(v.Salt, v.Token, VerifyOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("data is %#v, want %#v", got, want)
			}
			if _, err := s.Verify(v.Salt+"x", v.Token, VerifyOptions{}); !errors.Is(err, ErrInvalid) {
				t.Errorf("with another salt: %v, want ErrInvalid", err)
			}
		})
	}
}

// Without atoms the tokens are those of Phoenix, byte for byte. Atoms were
// written by OTP 25 in the form of its time; the vectors that hold some are
// compared after rewriting them to the form of OTP 26 and later, which is ours.
func TestGoldenVectorsSign(t *testing.T) {
	t.Parallel()
	data := goldenData()
	identical := 0
	for _, v := range loadGolden(t).Vectors {
		maxAge := Infinity()
		if seconds, ok := v.MaxAge.(float64); ok {
			maxAge = Seconds(int64(seconds))
		}
		s := v.signer(t, time.UnixMilli(v.SignedAtMs))
		got, err := s.Sign(v.Salt, data[v.Data], SignOptions{SignedAt: time.UnixMilli(v.SignedAtMs), MaxAge: maxAge})
		if err != nil {
			t.Fatalf("%s: %v", v.Description, err)
		}
		golden, err := hex.DecodeString(v.PayloadETFHex)
		if err != nil {
			t.Fatal(err)
		}
		term, ok := decodeBase64(strings.Split(got, ".")[1])
		if !ok {
			t.Fatal("our own token is not base64")
		}
		modern := modernAtoms(golden)
		if !bytes.Equal(term, modern) {
			t.Errorf("%s: term is\n%x, want\n%x", v.Description, term, modern)
		}
		if bytes.Equal(golden, modern) {
			identical++
			if got != v.Token {
				t.Errorf("%s: token is\n%s, want\n%s", v.Description, got, v.Token)
			}
		}
		again, err := s.Verify(v.Salt, got, VerifyOptions{})
		if err != nil || !reflect.DeepEqual(again, data[v.Data]) {
			t.Errorf("%s: our token verifies to %#v, %v", v.Description, again, err)
		}
	}
	if identical != 6 {
		t.Errorf("%d vectors are without atoms, want 6", identical)
	}
}

func modernAtoms(term []byte) []byte {
	for _, name := range []string{"admin", "true", "id", "name", "nil", "role", "user", "infinity"} {
		old := append([]byte{tagAtom, 0, byte(len(name))}, name...)
		term = bytes.ReplaceAll(term, old, append([]byte{tagSmallAtomUTF8, byte(len(name))}, name...))
	}
	return term
}

func TestGoldenOtherForms(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		`{:ok, "old1"}`:                        "old1",
		`{:ok, "old2"}`:                        "old2",
		`{:ok, "h384"}`:                        "h384",
		`{:ok, "h512"}`:                        "h512",
		`{:ok, "abcabcabcabcabcabcab" <> ...}`: "abcabcabcabcabcabcab",
	}
	g := loadGolden(t)
	for _, v := range append(g.Legacy, g.Other...) {
		prefix, ok := want[v.VerifyWithInfinity]
		if !ok {
			t.Fatalf("%s: unknown result %s", v.Description, v.VerifyWithInfinity)
		}
		// A century later: infinity holds, the default does not.
		s := v.signer(t, time.UnixMilli(1790000000000).AddDate(100, 0, 0))
		got, err := s.Verify(v.Salt, v.Token, VerifyOptions{MaxAge: Infinity()})
		if text, ok := got.(string); err != nil || !ok || !strings.HasPrefix(text, prefix) {
			t.Errorf("%s: %#v, %v, want a string that starts with %q", v.Description, got, err, prefix)
		}
		if _, err := s.Verify(v.Salt, v.Token, VerifyOptions{}); !errors.Is(err, ErrExpired) {
			t.Errorf("%s: with the default limit: %v, want ErrExpired", v.Description, err)
		}
	}
}

// The older forms hold no limit: a day is taken, as in Plug.Crypto.
func TestGoldenLegacyLimit(t *testing.T) {
	t.Parallel()
	for _, v := range loadGolden(t).Legacy {
		signedAt := time.UnixMilli(1790000000000)
		if _, err := v.signer(t, signedAt.Add(SignedMaxAge)).Verify(v.Salt, v.Token, VerifyOptions{}); err != nil {
			t.Errorf("%s: after a day: %v", v.Description, err)
		}
		later := signedAt.Add(SignedMaxAge + time.Millisecond)
		if _, err := v.signer(t, later).Verify(v.Salt, v.Token, VerifyOptions{}); !errors.Is(err, ErrExpired) {
			t.Errorf("%s: after more than a day: %v, want ErrExpired", v.Description, err)
		}
	}
}

func TestGoldenNegative(t *testing.T) {
	t.Parallel()
	g := loadGolden(t)
	first := g.Vectors[0]
	s := first.signer(t, time.UnixMilli(first.SignedAtMs))
	for _, v := range g.Negative {
		got, err := s.Verify(first.Salt, v.Token, VerifyOptions{})
		switch v.Verify {
		case "{:error, :invalid}":
			if !errors.Is(err, ErrInvalid) || errors.Is(err, ErrMalformed) {
				t.Errorf("%s: %v, want ErrInvalid", v.Description, err)
			}
		case "raises ArgumentError":
			if !errors.Is(err, ErrInvalid) || !errors.Is(err, ErrMalformed) {
				t.Errorf("%s: %v, want ErrMalformed, which is an ErrInvalid", v.Description, err)
			}
		case "{:ok, 1}":
			if err != nil || got != int64(1) {
				t.Errorf("%s: %#v, %v, want 1", v.Description, got, err)
			}
		default:
			t.Errorf("%s: unknown result %s", v.Description, v.Verify)
		}
	}
}

func TestGoldenMaxAgeChecks(t *testing.T) {
	t.Parallel()
	limits := map[string]MaxAge{
		"max_age 0":         Seconds(0),
		"max_age -1":        Seconds(-1),
		"max_age 1":         Seconds(1),
		"max_age :infinity": Infinity(),
		"max_age 10^12 s":   Seconds(1_000_000_000_000),
	}
	g := loadGolden(t)
	v := g.Vectors[0]
	for _, check := range g.MaxAgeChecks {
		limit, ok := limits[check.Check]
		if !ok {
			t.Fatalf("unknown check %s", check.Check)
		}
		// An hour later the token's own limit of a day has not passed.
		got, err := v.signer(t, time.UnixMilli(v.SignedAtMs).Add(time.Hour)).
			Verify(v.Salt, v.Token, VerifyOptions{MaxAge: limit})
		switch check.Verify {
		case "{:ok, 1}":
			if err != nil || got != int64(1) {
				t.Errorf("%s: %#v, %v, want 1", check.Check, got, err)
			}
		case "{:error, :expired}":
			if !errors.Is(err, ErrExpired) || errors.Is(err, ErrInvalid) {
				t.Errorf("%s: %v, want ErrExpired", check.Check, err)
			}
		default:
			t.Errorf("unknown result %s", check.Verify)
		}
	}
}
