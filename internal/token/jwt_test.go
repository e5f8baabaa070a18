package token

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jws"
)

var testNow = time.Unix(1_790_000_000, 0)

func testClock() time.Time { return testNow }

func newTestVerifier(t testing.TB, cfg JWTConfig) *JWTVerifier {
	t.Helper()
	if cfg.Now == nil {
		cfg.Now = testClock
	}
	v, err := NewJWTVerifier(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

func goodClaims() map[string]any {
	return map[string]any{"sub": "user-42", "exp": testNow.Unix() + 60}
}

func TestJWTAlgorithms(t *testing.T) {
	t.Parallel()
	rs, es, ed := newIssuerKey(t, RS256, ""), newIssuerKey(t, ES256, ""), newIssuerKey(t, EdDSA, "")
	for alg, c := range map[string]struct {
		key issuerKey
		cfg JWTConfig
	}{
		HS256: {hmacKey(testSecret), JWTConfig{Secret: testSecret}},
		RS256: {rs, JWTConfig{PublicKeyPEM: rs.pem(t)}},
		ES256: {es, JWTConfig{PublicKeyPEM: es.pem(t)}},
		EdDSA: {ed, JWTConfig{PublicKeyPEM: ed.pem(t)}},
	} {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			v := newTestVerifier(t, c.cfg)
			tok := c.key.sign(t, map[string]any{
				"sub": "user-42", "iss": "https://issuer.example", "aud": "app", "jti": "1",
				"exp": testNow.Unix() + 60, "iat": testNow.Unix() - 5, "nbf": testNow.Unix() - 5, "role": "admin",
			})
			got, err := v.Verify(t.Context(), tok)
			if err != nil {
				t.Fatal(err)
			}
			if got.Subject != "user-42" || got.Issuer != "https://issuer.example" || !slices.Equal(got.Audience, []string{"app"}) ||
				got.ID != "1" || !got.ExpiresAt.Equal(testNow.Add(time.Minute)) ||
				!got.IssuedAt.Equal(testNow.Add(-5*time.Second)) || !got.NotBefore.Equal(testNow.Add(-5*time.Second)) {
				t.Errorf("claims are %+v", got)
			}
			var own struct{ Role string }
			if err := got.Decode(&own); err != nil || own.Role != "admin" {
				t.Errorf("own claims are %+v, %v", own, err)
			}
			refuseTampered(t, v, tok)
		})
	}
}

// refuseTampered changes each letter of a good token in turn.
func refuseTampered(t *testing.T, v *JWTVerifier, tok string) {
	t.Helper()
	for i := range len(tok) - 1 { // the last letter has bits that mean nothing
		b := []byte(tok)
		if b[i] = 'A'; tok[i] == 'A' {
			b[i] = 'B'
		}
		if _, err := v.Verify(t.Context(), string(b)); !errors.Is(err, ErrInvalid) {
			t.Fatalf("letter %d changed: %v, want ErrInvalid", i, err)
		}
	}
}

func TestJWTConfusion(t *testing.T) {
	t.Parallel()
	rs, es := newIssuerKey(t, RS256, "rs"), newIssuerKey(t, ES256, "es")
	verifier := newTestVerifier(t, JWTConfig{PublicKeyPEM: rs.pem(t) + es.pem(t)})
	onlyES := newTestVerifier(t, JWTConfig{PublicKeyPEM: es.pem(t), Algorithms: []string{ES256}})
	der, err := x509.MarshalPKIXPublicKey(rs.public)
	if err != nil {
		t.Fatal(err)
	}
	good := rs.sign(t, goodClaims())
	parts := strings.Split(good, ".")
	b64 := base64.RawURLEncoding.EncodeToString
	mod := func(alg jwa.SignatureAlgorithm) issuerKey {
		return issuerKey{"", alg, rs.private, rs.public}
	}
	for name, c := range map[string]struct {
		v   *JWTVerifier
		tok string
	}{
		"empty":                       {verifier, ""},
		"no token":                    {verifier, "token"},
		"none":                        {verifier, b64([]byte(`{"alg":"none"}`)) + "." + parts[1] + "."},
		"None with a signature":       {verifier, b64([]byte(`{"alg":"None"}`)) + "." + parts[1] + "." + parts[2]},
		"no algorithm":                {verifier, b64([]byte(`{"typ":"JWT"}`)) + "." + parts[1] + "." + parts[2]},
		"signature cut off":           {verifier, parts[0] + "." + parts[1] + "."},
		"HS256 with the public PEM":   {verifier, hmacKey(rs.pem(t)).sign(t, goodClaims())},
		"HS256 with the public DER":   {verifier, hmacKey(string(der)).sign(t, goodClaims())},
		"RS512 by the right key":      {verifier, mod(jwa.RS512()).sign(t, goodClaims())},
		"PS256 by the right key":      {verifier, mod(jwa.PS256()).sign(t, goodClaims())},
		"RS256 where only ES256":      {onlyES, good},
		"other key":                   {verifier, newIssuerKey(t, ES256, "").sign(t, goodClaims())},
		"key in the header":           {verifier, withEmbeddedKey(t)},
		"JSON form":                   {verifier, fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, parts[0], parts[1], parts[2])},
		"critical header":             {verifier, withCritical(t, rs)},
		"line break in the signature": {verifier, good[:len(good)-5] + "\n" + good[len(good)-5:]},
		"padding":                     {verifier, good + "=="},
		"too long":                    {verifier, good + strings.Repeat("A", MaxTokenSize)},
	} {
		_, err := c.v.Verify(t.Context(), c.tok)
		if !errors.Is(err, ErrInvalid) || errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
		for _, part := range parts {
			if err != nil && strings.Contains(err.Error(), part) {
				t.Errorf("%s: the error holds a part of the token", name)
			}
		}
	}
	for _, key := range []issuerKey{rs, es} {
		if _, err := verifier.Verify(t.Context(), key.sign(t, goodClaims())); err != nil {
			t.Errorf("%s: %v", key.id, err)
		}
	}
}

func withEmbeddedKey(t *testing.T) string {
	t.Helper()
	key := newIssuerKey(t, ES256, "")
	header := jws.NewHeaders()
	if err := header.Set(jws.JWKKey, key.jwk(t)); err != nil {
		t.Fatal(err)
	}
	tok, err := jws.Sign([]byte(`{"exp":4102444800}`), jws.WithKey(key.alg, key.private, jws.WithProtectedHeaders(header)))
	if err != nil {
		t.Fatal(err)
	}
	return string(tok)
}

func withCritical(t *testing.T, key issuerKey) string {
	t.Helper()
	header := jws.NewHeaders()
	if err := header.Set("urgent", true); err != nil {
		t.Fatal(err)
	}
	if err := header.Set(jws.CriticalKey, []string{"urgent"}); err != nil {
		t.Fatal(err)
	}
	tok, err := jws.Sign([]byte(`{"exp":4102444800}`), jws.WithKey(key.alg, key.private, jws.WithProtectedHeaders(header)))
	if err != nil {
		t.Fatal(err)
	}
	return string(tok)
}

func TestJWTClaims(t *testing.T) {
	t.Parallel()
	now := testNow.Unix()
	week := int64(7 * 24 * 3600)
	base := JWTConfig{Secret: testSecret}
	aud := JWTConfig{Secret: testSecret, Audience: "app"}
	iss := JWTConfig{Secret: testSecret, Issuer: "https://a"}
	short := JWTConfig{Secret: testSecret, MaxAge: time.Minute, Leeway: time.Nanosecond}
	for _, c := range []struct {
		name   string
		cfg    JWTConfig
		claims string
		want   error
	}{
		{"exp ahead", base, fmt.Sprintf(`{"exp":%d}`, now+1), nil},
		{"exp within the leeway", base, fmt.Sprintf(`{"exp":%d}`, now-9), nil},
		{"exp past", base, fmt.Sprintf(`{"exp":%d}`, now-10), ErrExpired},
		{"exp zero", base, `{"exp":0}`, ErrExpired},
		{"no leeway", short, fmt.Sprintf(`{"exp":%d}`, now-1), ErrExpired},
		{"nbf past", base, fmt.Sprintf(`{"exp":%d,"nbf":%d}`, now+60, now), nil},
		{"nbf within the leeway", base, fmt.Sprintf(`{"exp":%d,"nbf":%d}`, now+60, now+10), nil},
		{"nbf ahead", base, fmt.Sprintf(`{"exp":%d,"nbf":%d}`, now+60, now+11), ErrInvalid},
		{"iat ahead", base, fmt.Sprintf(`{"iat":%d}`, now+11), ErrInvalid},
		{"no exp, no iat", base, `{"sub":"u"}`, ErrInvalid},
		{"no exp, iat two weeks ago", base, fmt.Sprintf(`{"iat":%d}`, now-2*week), nil}, // by the leeway
		{"no exp, iat before that", base, fmt.Sprintf(`{"iat":%d}`, now-2*week-10), ErrExpired},
		{"no exp, own limit", short, fmt.Sprintf(`{"iat":%d}`, now-59), nil},
		{"no exp, past own limit", short, fmt.Sprintf(`{"iat":%d}`, now-61), ErrExpired},
		{"exp rules over iat", short, fmt.Sprintf(`{"iat":%d,"exp":%d}`, now-week, now+60), nil},
		{"issuer", iss, fmt.Sprintf(`{"exp":%d,"iss":"https://a"}`, now+60), nil},
		{"other issuer", iss, fmt.Sprintf(`{"exp":%d,"iss":"https://b"}`, now+60), ErrInvalid},
		{"no issuer", iss, fmt.Sprintf(`{"exp":%d}`, now+60), ErrInvalid},
		{"audience", aud, fmt.Sprintf(`{"exp":%d,"aud":["other","app"]}`, now+60), nil},
		{"audience as a string", aud, fmt.Sprintf(`{"exp":%d,"aud":"app"}`, now+60), nil},
		{"other audience", aud, fmt.Sprintf(`{"exp":%d,"aud":["application"]}`, now+60), ErrInvalid},
		{"no audience", aud, fmt.Sprintf(`{"exp":%d}`, now+60), ErrInvalid},
		{"expired and for another", aud, fmt.Sprintf(`{"exp":%d}`, now-60), ErrExpired},
		{"exp null", base, `{"exp":null,"iat":1}`, ErrMalformed},
		{"exp an object", base, `{"exp":{}}`, ErrMalformed},
		{"exp a word", base, `{"exp":"never"}`, ErrMalformed},
		{"exp beyond numbers", base, `{"exp":1e400}`, ErrMalformed},
		{"sub a number", base, fmt.Sprintf(`{"exp":%d,"sub":42}`, now+60), ErrMalformed},
		{"no object", base, `["exp"]`, ErrMalformed},
		{"no JSON", base, `exp`, ErrMalformed},
		{"nothing", base, ``, ErrInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := newTestVerifier(t, c.cfg)
			tok, err := jws.Sign([]byte(c.claims), jws.WithKey(jwa.HS256(), []byte(testSecret)))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := v.Verify(t.Context(), string(tok)); !errors.Is(err, c.want) {
				t.Errorf("error is %v, want %v", err, c.want)
			}
		})
	}
}

func TestJWTVerifierKeepsSecretOutOfLogs(t *testing.T) {
	t.Parallel()
	v := newTestVerifier(t, JWTConfig{Secret: testSecret})
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, v); strings.Contains(text, testSecret) {
			t.Errorf("%s prints the secret", format)
		}
	}
}

func TestJWTExpiresAtWithoutExp(t *testing.T) {
	t.Parallel()
	v := newTestVerifier(t, JWTConfig{Secret: testSecret})
	issued := testNow.Add(-time.Hour)
	got, err := v.Verify(t.Context(), hmacKey(testSecret).sign(t, map[string]any{"iat": issued.Unix()}))
	if err != nil {
		t.Fatal(err)
	}
	if want := issued.Add(DefaultMaxAge); !got.ExpiresAt.Equal(want) {
		t.Errorf("ExpiresAt is %s, want %s", got.ExpiresAt, want)
	}
}

func TestJWTConfigRefused(t *testing.T) {
	t.Parallel()
	es := newIssuerKey(t, ES256, "").pem(t)
	private, err := x509.MarshalPKCS8PrivateKey(rsaTestKey())
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	weak := issuerKey{public: &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 1023, 1), E: 65537}}
	curve := issuerKey{public: p384.Public()}
	for _, c := range []struct {
		cfg  JWTConfig
		want string
	}{
		{JWTConfig{}, "JWTConfig has no key: set one of Secret, PublicKeyPEM, JWKSURL and JWKSFile"},
		{JWTConfig{Secret: testSecret, JWKSFile: "f"}, "JWTConfig has Secret and JWKSFile set: set only one"},
		{JWTConfig{Secret: "short"}, "JWTConfig.Secret has 5 bytes, HS256 needs at least 32"},
		{JWTConfig{Secret: es}, "JWTConfig.Secret holds a key in PEM"},
		{JWTConfig{PublicKeyPEM: "key"}, "JWTConfig.PublicKeyPEM: it holds no PEM block"},
		{JWTConfig{PublicKeyPEM: es, Algorithms: []string{RS256}}, "JWTConfig.PublicKeyPEM: a key is for ES256"},
		{JWTConfig{PublicKeyPEM: weak.pem(t)}, "an RSA key has 1024 bits"},
		{JWTConfig{PublicKeyPEM: curve.pem(t)}, "not on the curve P-256"},
		{JWTConfig{PublicKeyPEM: strings.Repeat(es, maxKeys+1)}, "it holds 101 keys, the limit is 100"},
		{
			JWTConfig{PublicKeyPEM: string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))},
			`a PEM block is "PRIVATE KEY", want PUBLIC KEY or CERTIFICATE`,
		},
		{JWTConfig{PublicKeyPEM: es, Algorithms: []string{"none"}}, `JWTConfig.Algorithms has "none"`},
		{JWTConfig{PublicKeyPEM: es, Algorithms: []string{HS256}}, "JWTConfig.Algorithms has HS256, which needs JWTConfig.Secret"},
		{JWTConfig{Secret: testSecret, Algorithms: []string{RS256}}, "JWTConfig.Algorithms has RS256, which does not go with JWTConfig.Secret"},
		{JWTConfig{JWKSURL: "keys.json"}, "JWTConfig.JWKSURL is not an absolute URL"},
		{JWTConfig{JWKSURL: "http://issuer.example/keys"}, "JWTConfig.JWKSURL is plain http"},
		{JWTConfig{JWKSURL: "file://host/keys"}, `JWTConfig.JWKSURL has the scheme "file"`},
		{JWTConfig{JWKSURL: "https://user:pw@issuer.example/"}, "JWTConfig.JWKSURL must not hold a user name"},
		{JWTConfig{JWKSFile: "testdata/missing.json"}, "JWTConfig.JWKSFile: open testdata/missing.json"},
		{JWTConfig{JWKSFile: "testdata/tokens.json"}, "JWTConfig.JWKSFile: testdata/tokens.json"},
		{JWTConfig{Secret: testSecret, MaxAge: -1}, "JWTConfig.MaxAge is -1ns, it must not be negative"},
		{JWTConfig{Secret: testSecret, Leeway: time.Hour}, "JWTConfig.Leeway is 1h0m0s, the limit is 5m0s"},
		{JWTConfig{Secret: testSecret, FetchTimeout: -1}, "JWTConfig.FetchTimeout"},
		{JWTConfig{Secret: testSecret, RefreshInterval: -1}, "JWTConfig.RefreshInterval"},
		{JWTConfig{Secret: testSecret, RefetchInterval: -1}, "JWTConfig.RefetchInterval"},
	} {
		_, err := NewJWTVerifier(t.Context(), c.cfg)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error is %v, want one with %q", err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), testSecret) {
			t.Errorf("the error %v holds the secret", err)
		}
	}
}
