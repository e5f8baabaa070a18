package token

import (
	"testing"
)

func BenchmarkVerify(b *testing.B) {
	s := newTestSigner(b, nil)
	tok, err := s.Sign("user socket", "user-42", SignOptions{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Verify("user socket", tok, VerifyOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

// What a Verify would cost without the cache of keys.
func BenchmarkDeriveKey(b *testing.B) {
	for b.Loop() {
		s := newTestSigner(b, nil)
		if _, err := s.key("user socket"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkJWTVerify(b *testing.B) {
	for _, alg := range []string{HS256, RS256, ES256, EdDSA} {
		b.Run(alg, func(b *testing.B) {
			key, cfg := hmacKey(testSecret), JWTConfig{Secret: testSecret}
			if alg != HS256 {
				key = newIssuerKey(b, alg, "")
				cfg = JWTConfig{PublicKeyPEM: key.pem(b)}
			}
			v := newTestVerifier(b, cfg)
			tok := key.sign(b, goodClaims())
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(b.Context(), tok); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
