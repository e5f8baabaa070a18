package token

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
)

// issuerKey is a key pair of an issuer.
type issuerKey struct {
	id      string
	alg     jwa.SignatureAlgorithm
	private any
	public  any
}

var rsaTestKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048) // slow: one for all tests
	if err != nil {
		panic(err)
	}
	return key
})

func newIssuerKey(t testing.TB, alg, id string) issuerKey {
	t.Helper()
	switch alg {
	case RS256:
		key := rsaTestKey()
		return issuerKey{id, jwa.RS256(), key, key.Public()}
	case ES256:
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return issuerKey{id, jwa.ES256(), key, key.Public()}
	default:
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return issuerKey{id, jwa.EdDSA(), private, public}
	}
}

func (k issuerKey) sign(t testing.TB, claims map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	header := jws.NewHeaders()
	if k.id != "" {
		if err := header.Set(jws.KeyIDKey, k.id); err != nil {
			t.Fatal(err)
		}
	}
	tok, err := jws.Sign(payload, jws.WithKey(k.alg, k.private, jws.WithProtectedHeaders(header)))
	if err != nil {
		t.Fatal(err)
	}
	return string(tok)
}

func (k issuerKey) pem(t testing.TB) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(k.public)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func (k issuerKey) jwk(t testing.TB, fields ...string) jwk.Key {
	t.Helper()
	key, err := jwk.Import(k.public)
	if err != nil {
		t.Fatal(err)
	}
	if k.id != "" {
		fields = append(fields, jwk.KeyIDKey, k.id)
	}
	for i := 0; i < len(fields); i += 2 {
		if err := key.Set(fields[i], fields[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	return key
}

func jwkSet(t testing.TB, keys ...jwk.Key) []byte {
	t.Helper()
	set := jwk.NewSet()
	for _, k := range keys {
		if err := set.AddKey(k); err != nil {
			t.Fatal(err)
		}
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func hmacKey(secret string) issuerKey {
	return issuerKey{alg: jwa.HS256(), private: []byte(secret)}
}

// Issuers publish keys that are not for us beside those that are.
func TestJWKSetKeepsUsableKeysOnly(t *testing.T) {
	t.Parallel()
	rs, es, ed := newIssuerKey(t, RS256, "rs"), newIssuerKey(t, ES256, "es"), newIssuerKey(t, EdDSA, "ed")
	secret, err := jwk.Import([]byte(testSecret))
	if err != nil {
		t.Fatal(err)
	}
	private, err := jwk.Import(newIssuerKey(t, ES256, "").private)
	if err != nil {
		t.Fatal(err)
	}
	if err := private.Set(jwk.KeyIDKey, "private"); err != nil {
		t.Fatal(err)
	}
	text := jwkSet(t,
		rs.jwk(t, "use", "sig", "alg", "RS256"), es.jwk(t), ed.jwk(t, "alg", "EdDSA"), secret, private,
		issuerKey{"for encryption", jwa.RS256(), nil, rs.public}.jwk(t, "use", "enc"),
		issuerKey{"for RS512", jwa.RS256(), nil, rs.public}.jwk(t, "alg", "RS512"),
	)
	signOnly := issuerKey{"for signing", jwa.RS256(), nil, rs.public}.jwk(t)
	if err := signOnly.Set(jwk.KeyOpsKey, jwk.KeyOperationList{jwk.KeyOpSign}); err != nil {
		t.Fatal(err)
	}
	text = append(text[:len(text)-2], ","...)
	one, err := json.Marshal(signOnly)
	if err != nil {
		t.Fatal(err)
	}
	text = append(append(text, one...), "]}"...)
	text = []byte(strings.Replace(string(text), `"keys":[`, `"keys":[{"kty":"future","kid":"future"},`, 1))
	set, err := parseJWKSet(text, []string{RS256, ES256, EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, k := range set.keys {
		got = append(got, k.id+" "+k.alg)
		if _, ok := k.raw.(*ecdsa.PrivateKey); ok {
			t.Error("a private key is kept")
		}
	}
	slices.Sort(got)
	if want := []string{"ed EdDSA", "es ES256", "private ES256", "rs RS256"}; !slices.Equal(got, want) {
		t.Errorf("kept %q, want %q", got, want)
	}

	only, err := parseJWKSet(text, []string{ES256})
	if err != nil || len(only.keys) != 2 {
		t.Errorf("with ES256 only: %v, %v", only, err)
	}
	for _, text := range []string{`{"keys":[]}`, `{"error":"gone"}`, `<html>`, `[]`, ``, string(jwkSet(t, secret))} {
		if set, err := parseJWKSet([]byte(text), []string{RS256}); err == nil {
			t.Errorf("%q is read as %v, want an error", text, set)
		}
	}
}

// Certificates and the older form of RSA keys are accepted as well.
func TestPEMForms(t *testing.T) {
	t.Parallel()
	rs := newIssuerKey(t, RS256, "")
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, rs.public, rs.private)
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range []*pem.Block{
		{Type: "CERTIFICATE", Bytes: cert},
		{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(rs.public.(*rsa.PublicKey))},
	} {
		mustVerify(t, newTestVerifier(t, JWTConfig{PublicKeyPEM: string(pem.EncodeToMemory(block))}), rs)

		block.Bytes = block.Bytes[:20]
		_, err := NewJWTVerifier(t.Context(), JWTConfig{PublicKeyPEM: string(pem.EncodeToMemory(block))})
		if err == nil || !strings.Contains(err.Error(), "JWTConfig.PublicKeyPEM") {
			t.Errorf("%s cut off: error is %v", block.Type, err)
		}
	}
}

// The algorithm belongs to the key, and the library's own check comes second.
func TestKeySetCandidates(t *testing.T) {
	t.Parallel()
	set := &keySet{keys: []verifyKey{{"a", RS256, nil}, {"b", ES256, nil}, {"", ES256, nil}, {"a", EdDSA, nil}}}
	for _, c := range []struct {
		alg, id string
		want    []verifyKey
	}{
		{RS256, "a", set.keys[:1]},
		{RS256, "", set.keys[:1]},
		{RS256, "b", nil},
		{ES256, "b", set.keys[1:3]},
		{ES256, "a", set.keys[2:3]},
		{HS256, "a", nil},
		{HS256, "", nil},
	} {
		if got := set.candidates(c.alg, c.id); !slices.Equal(got, c.want) {
			t.Errorf("candidates(%q, %q) = %v, want %v", c.alg, c.id, got, c.want)
		}
	}
}

// What is not configured is refused before any key is looked at, or fetched.
func TestJWTAlgorithmRefusedFirst(t *testing.T) {
	t.Parallel()
	rs, es := newIssuerKey(t, RS256, "1"), newIssuerKey(t, ES256, "2")
	server := startJWKS(t, es.jwk(t), rs.jwk(t))
	v := newTestVerifier(t, JWTConfig{JWKSURL: server.URL, Algorithms: []string{ES256}})
	mustVerify(t, v, es)
	for _, key := range []issuerKey{rs, hmacKey(testSecret)} {
		_, err := v.Verify(t.Context(), key.sign(t, goodClaims()))
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "its algorithm is not one of ES256") {
			t.Errorf("%s: %v", key.alg, err)
		}
	}
	if n := server.count(); n != 1 {
		t.Errorf("%d fetches, want 1", n)
	}
}
