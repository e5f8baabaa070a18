package token

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
)

const (
	maxKeySetSize = 1 << 20 // bytes of a JWK set
	maxKeys       = 100     // keys in a set
	minRSABits    = 2048
)

// verifyKey is one key with the only algorithm that it may be used with: the
// token's header chooses among keys, it never chooses how a key is used.
type verifyKey struct {
	id  string // "" where the key has none
	alg string
	raw any
}

// keySet is immutable.
type keySet struct{ keys []verifyKey }

// candidates are the keys that may have signed a token with these headers. A
// key without an id fits any; a token without one fits any key.
func (s *keySet) candidates(alg, id string) []verifyKey {
	var found []verifyKey
	for _, k := range s.keys {
		if k.alg == alg && (id == "" || k.id == "" || k.id == id) {
			found = append(found, k)
		}
	}
	return found
}

func secretKeySet(secret string) *keySet {
	return &keySet{keys: []verifyKey{{alg: HS256, raw: []byte(secret)}}}
}

// parsePEMKeySet reads public keys and certificates. All must be usable with
// one of the algorithms.
func parsePEMKeySet(text string, algorithms []string) (*keySet, error) {
	var set keySet
	rest := []byte(text)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		raw, err := publicKeyOfPEM(block)
		if err != nil {
			return nil, err
		}
		alg, err := algorithmOf(raw)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(algorithms, alg) {
			return nil, fmt.Errorf("a key is for %s, which is not among the algorithms", alg)
		}
		set.keys = append(set.keys, verifyKey{alg: alg, raw: raw})
	}
	if len(set.keys) == 0 {
		return nil, errors.New("it holds no PEM block")
	}
	if len(set.keys) > maxKeys {
		return nil, fmt.Errorf("it holds %d keys, the limit is %d", len(set.keys), maxKeys)
	}
	return &set, nil
}

func publicKeyOfPEM(block *pem.Block) (any, error) {
	switch block.Type {
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return cert.PublicKey, nil
	default:
		return nil, fmt.Errorf("a PEM block is %q, want PUBLIC KEY or CERTIFICATE", block.Type)
	}
}

// algorithmOf says which algorithm a public key serves, and refuses weak ones.
func algorithmOf(raw any) (string, error) {
	switch key := raw.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSABits {
			return "", fmt.Errorf("an RSA key has %d bits, the least is %d", bits, minRSABits)
		}
		return RS256, nil
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return "", errors.New("an ECDSA key is not on the curve P-256")
		}
		return ES256, nil
	case ed25519.PublicKey:
		return EdDSA, nil
	default:
		return "", fmt.Errorf("a key is of type %T, want RSA, ECDSA or Ed25519", raw)
	}
}

// parseJWKSet reads a JWK set and keeps the keys that can verify with one of
// the algorithms; issuers publish others beside them. A set without any is an
// error, so that it does not replace a good one.
func parseJWKSet(text []byte, algorithms []string) (*keySet, error) {
	// Keys of unknown kinds must not make the rest unusable (RFC 7517, 5).
	parsed, err := jwk.Parse(text, jwk.WithIgnoreParseError(true), jwk.WithMaxKeys(maxKeys))
	if err != nil {
		return nil, fmt.Errorf("not a JWK set: %w", err)
	}
	var set keySet
	for i := range parsed.Len() {
		key, ok := parsed.Key(i)
		if !ok {
			continue
		}
		if usable, ok := usableKey(key); ok && slices.Contains(algorithms, usable.alg) {
			set.keys = append(set.keys, usable)
		}
	}
	if len(set.keys) == 0 {
		return nil, fmt.Errorf("none of the %d keys of the set can verify %v", parsed.Len(), algorithms)
	}
	return &set, nil
}

func usableKey(key jwk.Key) (verifyKey, bool) {
	if use, ok := key.KeyUsage(); ok && use != string(jwk.ForSignature) {
		return verifyKey{}, false
	}
	if ops, ok := key.KeyOps(); ok && !slices.Contains(ops, jwk.KeyOpVerify) {
		return verifyKey{}, false
	}
	if key.KeyType() == jwa.OctetSeq() {
		return verifyKey{}, false // a published secret is none
	}
	public, err := key.PublicKey()
	if err != nil {
		return verifyKey{}, false
	}
	var raw any
	if err := jwk.Export(public, &raw); err != nil {
		return verifyKey{}, false
	}
	alg, err := algorithmOf(raw)
	if err != nil {
		return verifyKey{}, false
	}
	if named, ok := key.Algorithm(); ok && named.String() != alg {
		return verifyKey{}, false
	}
	id, _ := key.KeyID()
	return verifyKey{id: id, alg: alg, raw: raw}, true
}
