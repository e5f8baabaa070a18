package token

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"reflect"
	"testing"
	"time"
)

// signPayload signs bytes that need not be a term.
func signPayload(t testing.TB, s *Signer, salt string, payload []byte) string {
	t.Helper()
	key, err := s.key(salt)
	if err != nil {
		t.Fatal(err)
	}
	signed := encodedHeaderHS256 + "." + base64.RawURLEncoding.EncodeToString(payload)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Whatever arrives: no panic, and what is accepted means the same when it is
// written and read again.
func FuzzDecodeTerm(f *testing.F) {
	for _, v := range loadGolden(f).Vectors {
		b, err := hex.DecodeString(v.PayloadETFHex)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, v := range goldenData() {
		b, err := encodeTerm(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(compressed(f, []byte{tagString, 0, 1, 7}, 4))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := decodeTerm(b)
		if err != nil {
			return
		}
		written, err := encodeTerm(v)
		if err != nil {
			// Latin-1 atoms and compressed terms may grow beyond the limit.
			if len(b) < maxTermSize/4 && b[1] != tagCompressed {
				t.Fatalf("decoded %#v cannot be encoded: %v", v, err)
			}
			return
		}
		again, err := decodeTerm(written)
		if err != nil || !reflect.DeepEqual(again, v) {
			t.Fatalf("decoded %#v, then %#v, %v", v, again, err)
		}
	})
}

// No token but those that were signed is accepted, whatever is changed.
func FuzzVerify(f *testing.F) {
	g := loadGolden(f)
	s, err := New(testSecret, Options{Now: func() time.Time { return time.UnixMilli(1_790_000_000_000) }})
	if err != nil {
		f.Fatal(err)
	}
	key, err := s.key("user socket")
	if err != nil {
		f.Fatal(err)
	}
	for _, v := range g.Vectors {
		f.Add(v.Token)
	}
	for _, list := range [][]goldenToken{g.Legacy, g.Other, g.Negative} {
		for _, v := range list {
			f.Add(v.Token)
		}
	}
	f.Fuzz(func(t *testing.T, token string) {
		_, err := s.Verify("user socket", token, VerifyOptions{})
		if errors.Is(err, ErrInvalid) && !errors.Is(err, ErrMalformed) {
			return
		}
		// Neither invalid: then the signature must be right by the definition.
		parts := bytes.Split([]byte(token), []byte("."))
		if len(parts) != 3 {
			t.Fatalf("a token of %d parts is accepted", len(parts))
		}
		header, _ := decodeBase64(string(parts[0]))
		newHash, ok := signatureHash(string(header))
		if !ok {
			t.Fatalf("a token with the header %q is accepted", header)
		}
		mac := hmac.New(newHash, key)
		mac.Write(bytes.Join(parts[:2], []byte(".")))
		signature, _ := decodeBase64(string(parts[2]))
		if !bytes.Equal(signature, mac.Sum(nil)) {
			t.Fatal("a token with a wrong signature is accepted")
		}
	})
}

// A payload with a right signature may hold anything: no panic, and only the
// known errors.
func FuzzVerifySigned(f *testing.F) {
	s, err := New(testSecret, Options{})
	if err != nil {
		f.Fatal(err)
	}
	for _, v := range loadGolden(f).Vectors {
		b, err := hex.DecodeString(v.PayloadETFHex)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		token := signPayload(t, s, "salt", payload)
		_, err := s.Verify("salt", token, VerifyOptions{MaxAge: Infinity()})
		switch {
		case err == nil, errors.Is(err, ErrMalformed):
		case errors.Is(err, ErrInvalid) && len(token) > MaxTokenSize:
		default:
			t.Fatalf("unexpected error %v", err)
		}
	})
}

func FuzzJWTVerify(f *testing.F) {
	v, err := NewJWTVerifier(context.Background(), JWTConfig{Secret: testSecret})
	if err != nil {
		f.Fatal(err)
	}
	claims := `{"sub":"u","exp":4102444800,"aud":["a"],"iat":1,"nbf":1.5}`
	f.Add(`{"alg":"HS256","typ":"JWT"}`, claims, true)
	f.Add(`{"alg":"HS256","kid":"x","crit":["b64"],"b64":false}`, claims, true)
	f.Add(`{"alg":"none"}`, claims, false)
	f.Add(`{"alg":"HS256"}`, `{"iat":9223372036854775807}`, true)
	f.Fuzz(func(t *testing.T, header, payload string, signed bool) {
		token := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
		mac := hmac.New(sha256.New, []byte(testSecret))
		if signed {
			mac.Write([]byte(token))
		}
		token += "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
		claims, err := v.Verify(context.Background(), token)
		switch {
		case err == nil && !signed:
			t.Fatal("an unsigned token is accepted")
		case err == nil && !claims.ExpiresAt.After(time.Now().Add(-time.Minute)):
			t.Fatalf("a token that expired at %s is accepted", claims.ExpiresAt)
		case err != nil && !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrExpired):
			t.Fatalf("unexpected error %v", err)
		}
	})
}
