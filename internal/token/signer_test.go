package token

import (
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"
)

const testSecret = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func newTestSigner(t testing.TB, now func() time.Time) *Signer {
	t.Helper()
	s, err := New(testSecret, Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNewRefusesBadSettings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		secret string
		opts   Options
		want   string
	}{
		{"", Options{}, "SECRET_KEY_BASE has 0 bytes, it needs at least 20"},
		{strings.Repeat("k", 19), Options{}, "SECRET_KEY_BASE has 19 bytes, it needs at least 20"},
		{testSecret, Options{Iterations: -1}, "key iterations are -1"},
		{testSecret, Options{Iterations: maxIterations + 1}, "want 1 to 10000000"},
		{testSecret, Options{KeyLength: 8}, "the key length is 8 bytes"},
		{testSecret, Options{KeyLength: 1 << 20}, "want 16 to 1024"},
		{testSecret, Options{Digest: "md5"}, `the key digest is "md5"`},
	} {
		_, err := New(c.secret, c.opts)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error is %v, want one with %q", err, c.want)
		}
	}
	if _, err := New(strings.Repeat("k", 20), Options{}); err != nil {
		t.Errorf("a secret of 20 bytes: %v", err)
	}
}

func TestSignerKeepsSecretOutOfLogs(t *testing.T) {
	t.Parallel()
	s := newTestSigner(t, nil)
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, s); strings.Contains(text, testSecret) {
			t.Errorf("%s prints the secret", format)
		}
	}
}

// The limit at Verify: nothing asked, the token's own up to two weeks; else what
// is asked.
func TestVerifyMaxAge(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	signedAt := time.UnixMilli(1_790_000_000_000)
	for _, c := range []struct {
		name     string
		inToken  MaxAge
		asked    MaxAge
		lastGood time.Duration // the oldest age that is accepted; negative: none is
	}{
		{"both defaults: a day, as Phoenix signs", MaxAge{}, MaxAge{}, day},
		{"own smaller limit holds", For(time.Minute), MaxAge{}, time.Minute},
		{"own fractional limit holds", For(1500 * time.Millisecond), MaxAge{}, 1500 * time.Millisecond},
		{"own longer limit is cut to two weeks", For(90 * day), MaxAge{}, 14 * day},
		{"own infinity is cut to two weeks", Infinity(), MaxAge{}, 14 * day},
		{"asked replaces a shorter one", For(time.Minute), For(90 * day), 90 * day},
		{"asked replaces a longer one", For(90 * day), For(time.Minute), time.Minute},
		{"asked replaces infinity", Infinity(), For(time.Minute), time.Minute},
		{"own zero has always expired", Seconds(0), MaxAge{}, -1},
		{"own negative has always expired", For(-time.Hour), MaxAge{}, -1},
		{"asked zero has always expired", MaxAge{}, For(0), -1},
		{"asked negative has always expired", MaxAge{}, For(-time.Second), -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			now := signedAt
			s := newTestSigner(t, func() time.Time { return now })
			tok, err := s.Sign("user socket", "42", SignOptions{MaxAge: c.inToken})
			if err != nil {
				t.Fatal(err)
			}
			if c.lastGood >= 0 {
				now = signedAt.Add(c.lastGood)
				if data, err := s.Verify("user socket", tok, VerifyOptions{MaxAge: c.asked}); err != nil || data != "42" {
					t.Errorf("at its limit: %v, %v", data, err)
				}
				now = now.Add(time.Millisecond)
			}
			if _, err := s.Verify("user socket", tok, VerifyOptions{MaxAge: c.asked}); !errors.Is(err, ErrExpired) {
				t.Errorf("past its limit: %v, want ErrExpired", err)
			}
		})
	}
}

func TestVerifyInfinityAndFuture(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_790_000_000_000)
	s := newTestSigner(t, func() time.Time { return now })
	old, err := s.Sign("s", 1, SignOptions{SignedAt: now.AddDate(-300, 0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Verify("s", old, VerifyOptions{MaxAge: Infinity()}); err != nil {
		t.Errorf("infinity: %v", err)
	}
	future, err := s.Sign("s", 1, SignOptions{SignedAt: now.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Verify("s", future, VerifyOptions{}); err != nil {
		t.Errorf("signed in the future: %v", err)
	}
}

func TestMaxAgeBeyondTime(t *testing.T) {
	t.Parallel()
	for _, limit := range []MaxAge{Seconds(1 << 62), secondsFloat(1e300), Seconds(1_000_000_000_000)} {
		if limit.expired(1_790_000_000_000, 4_000_000_000_000) {
			t.Errorf("%+v has expired", limit)
		}
	}
	if !secondsFloat(-1e300).expired(0, 0) {
		t.Error("a negative limit has not expired")
	}
}

func TestVerifyRefusesBadTokens(t *testing.T) {
	t.Parallel()
	s := newTestSigner(t, nil)
	good, err := s.Sign("salt", "data", SignOptions{})
	if err != nil {
		t.Fatal(err)
	}
	other, err := New(strings.Repeat("another secret ", 4), Options{})
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := other.Sign("salt", "data", SignOptions{})
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good, ".")
	for name, tok := range map[string]string{
		"four parts":        good + ".x",
		"line break":        good + "\n",
		"line break inside": parts[0] + "." + parts[1] + ".\r\n" + parts[2],
		"wrong padding":     good + "==",
		"no signature":      parts[0] + "." + parts[1] + ".",
		"short signature":   good[:len(good)-4],
		"unknown header":    "bm9uZQ." + parts[1] + "." + parts[2],
		"other header":      "SFM1MTI." + parts[1] + "." + parts[2],
		"other secret":      foreign,
		"too long":          good + strings.Repeat("A", MaxTokenSize),
	} {
		_, err := s.Verify("salt", tok, VerifyOptions{})
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
		if err != nil && (strings.Contains(err.Error(), parts[1]) || strings.Contains(err.Error(), parts[2])) {
			t.Errorf("%s: the error holds a part of the token", name)
		}
	}
	// Every single changed byte must be noticed, save those bits of the last
	// letter that base64 does not use.
	for i := range len(good) - 1 {
		b := []byte(good)
		b[i] ^= 1
		if _, err := s.Verify("salt", string(b), VerifyOptions{}); !errors.Is(err, ErrInvalid) {
			t.Fatalf("byte %d changed: %v, want ErrInvalid", i, err)
		}
	}
}

// A right signature over something that is no Phoenix token.
func TestVerifyRefusesOtherTerms(t *testing.T) {
	t.Parallel()
	s := newTestSigner(t, nil)
	for name, term := range map[string]any{
		"bare data":            "data",
		"short tuple":          Tuple{"data"},
		"long tuple":           Tuple{"data", 1, 2, 3},
		"signed_at no integer": Tuple{"data", "now", 86400},
		"signed_at missing":    map[any]any{Atom("data"): "x"},
		"data missing":         map[any]any{Atom("signed"): 1},
		"max_age no number":    Tuple{"data", 1, "x"},
		"max_age other atom":   Tuple{"data", 1, Atom("forever")},
		"max_age nil":          Tuple{"data", 1, nil},
	} {
		b, err := encodeTerm(term)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Verify("s", signPayload(t, s, "s", b), VerifyOptions{}); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", name, err)
		}
	}
}

func TestSignRefusesBadData(t *testing.T) {
	t.Parallel()
	s := newTestSigner(t, nil)
	for want, data := range map[string]any{
		"type struct {}":           struct{}{},
		"the limit is 65536":       strings.Repeat("x", MaxTokenSize),
		"a value of type chan int": []any{make(chan int)},
	} {
		if _, err := s.Sign("s", data, SignOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want one with %q", err, want)
		}
	}
}

func TestKeyCacheIsBounded(t *testing.T) {
	t.Parallel()
	s, err := New(testSecret, Options{Iterations: 1})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 4 * maxCachedKeys {
		wg.Go(func() {
			tok, err := s.Sign(fmt.Sprint("salt", i), i, SignOptions{})
			if err != nil {
				t.Error(err)
				return
			}
			if data, err := s.Verify(fmt.Sprint("salt", i), tok, VerifyOptions{}); err != nil || data != int64(i) {
				t.Errorf("salt %d: %v, %v", i, data, err)
			}
		})
	}
	wg.Wait()
	if len(s.keys) > maxCachedKeys {
		t.Errorf("%d keys are cached, the limit is %d", len(s.keys), maxCachedKeys)
	}
}

func TestDataString(t *testing.T) {
	t.Parallel()
	huge, _ := new(big.Int).SetString("12345678901234567890", 10)
	for _, c := range []struct {
		data any
		want string
		ok   bool
	}{
		{"user-42", "user-42", true},
		{"", "", true},
		{int64(-7), "-7", true},
		{7, "7", true},
		{huge, "12345678901234567890", true},
		{(*big.Int)(nil), "", false},
		{1.5, "", false},
		{nil, "", false},
		{true, "", false},
		{Atom("bob"), "", false},
		{Tuple{"a"}, "", false},
	} {
		if got, ok := DataString(c.data); got != c.want || ok != c.ok {
			t.Errorf("DataString(%#v) = %q, %t, want %q, %t", c.data, got, ok, c.want, c.ok)
		}
	}
}
