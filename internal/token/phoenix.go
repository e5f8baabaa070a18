package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strings"
	"time"
)

// The first part of a token, decoded: Plug.Crypto.MessageVerifier writes HS256
// and accepts all three.
const (
	headerHS256 = "HS256"
	headerHS384 = "HS384"
	headerHS512 = "HS512"
)

// encodedHeaderHS256 is headerHS256 in base64.
const encodedHeaderHS256 = "SFMyNTY"

// SignOptions are the options of [Signer.Sign].
type SignOptions struct {
	// SignedAt is the time written into the token, to the millisecond.
	// Default: now.
	SignedAt time.Time
	// MaxAge is the age limit written into the token. Default: [SignedMaxAge].
	MaxAge MaxAge
}

// Sign makes the token that Phoenix.Token.sign/4 makes of the same data, byte
// for byte, with atoms as OTP 26 and later write them. Maps are written in the
// order of their keys, as OTP does up to 32 keys. See the package's table for
// the types of data. It fails where data holds another type, or where the token
// would be longer than [MaxTokenSize].
func (s *Signer) Sign(salt string, data any, opts SignOptions) (string, error) {
	signedAt := opts.SignedAt
	if signedAt.IsZero() {
		signedAt = s.opts.Now()
	}
	maxAge := opts.MaxAge
	if maxAge.isDefault() {
		maxAge = For(SignedMaxAge)
	}
	term, err := encodeTerm(Tuple{data, signedAt.UnixMilli(), maxAge.term()})
	if err != nil {
		return "", fmt.Errorf("token: cannot sign the data: %w", err)
	}
	key, err := s.key(salt)
	if err != nil {
		return "", err
	}

	signed := encodedHeaderHS256 + "." + base64.RawURLEncoding.EncodeToString(term)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(signed))
	token := signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	if len(token) > MaxTokenSize {
		return "", fmt.Errorf("token: cannot sign the data: the token would have %d bytes, the limit is %d", len(token), MaxTokenSize)
	}
	return token, nil
}

// VerifyOptions are the options of [Signer.Verify].
type VerifyOptions struct {
	// MaxAge replaces the limit in the token, as Phoenix's max_age does, be it
	// longer or shorter. Default: the limit in the token, but at most
	// [DefaultMaxAge].
	MaxAge MaxAge
}

// Verify checks a token as Phoenix.Token.verify/4 does and returns its data.
// Salt and secret must be those it was signed with. The error is ErrInvalid,
// ErrExpired or, with a right signature over an unusable payload, ErrMalformed.
// Tokens signed in the future are accepted, as in Phoenix. The older forms of
// Plug.Crypto, {data, signed_at} and %{data: , signed: }, are read with a limit
// of one day in the token.
func (s *Signer) Verify(salt, token string, opts VerifyOptions) (any, error) {
	payload, err := s.authenticate(salt, token)
	if err != nil {
		return nil, err
	}
	term, err := decodeTerm(payload)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	claims, err := readClaims(term)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	maxAge := opts.MaxAge
	if maxAge.isDefault() {
		maxAge = For(DefaultMaxAge).shorter(claims.maxAge)
	}
	if maxAge.expired(claims.signedAt, s.opts.Now().UnixMilli()) {
		return nil, ErrExpired
	}
	return claims.data, nil
}

// authenticate returns the payload of a token whose signature is right.
func (s *Signer) authenticate(salt, token string) ([]byte, error) {
	if len(token) > MaxTokenSize {
		return nil, fmt.Errorf("%w: it has %d bytes, the limit is %d", ErrInvalid, len(token), MaxTokenSize)
	}
	parts := strings.SplitN(token, ".", 4)
	if len(parts) != 3 {
		return nil, fmt.Errorf("%w: it does not have three parts", ErrInvalid)
	}
	header, okHeader := decodeBase64(parts[0])
	payload, okPayload := decodeBase64(parts[1])
	signature, okSignature := decodeBase64(parts[2])
	if !okHeader || !okPayload || !okSignature {
		return nil, fmt.Errorf("%w: a part is not base64url", ErrInvalid)
	}
	newHash, ok := signatureHash(string(header))
	if !ok {
		return nil, fmt.Errorf("%w: the algorithm is not HS256, HS384 or HS512", ErrInvalid)
	}
	key, err := s.key(salt)
	if err != nil {
		return nil, err
	}
	mac := hmac.New(newHash, key)
	mac.Write([]byte(token[:len(parts[0])+1+len(parts[1])]))
	if !hmac.Equal(mac.Sum(nil), signature) {
		return nil, fmt.Errorf("%w: the signature does not match", ErrInvalid)
	}
	return payload, nil
}

func signatureHash(header string) (func() hash.Hash, bool) {
	switch header {
	case headerHS256:
		return sha256.New, true
	case headerHS384:
		return sha512.New384, true
	case headerHS512:
		return sha512.New, true
	default:
		return nil, false
	}
}

// decodeBase64 decodes as Elixir's Base.url_decode64(s, padding: false) does:
// padding may be there or not. Go would skip line breaks; Elixir refuses them.
func decodeBase64(s string) ([]byte, bool) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, false
	}
	encoding := base64.RawURLEncoding
	if strings.HasSuffix(s, "=") {
		encoding = base64.URLEncoding
	}
	b, err := encoding.DecodeString(s)
	return b, err == nil
}

// phoenixClaims are what a Phoenix token holds.
type phoenixClaims struct {
	data     any
	signedAt int64 // milliseconds of Unix time
	maxAge   MaxAge
}

var errClaims = errors.New("the term is not {data, signed_at, max_age}")

// readClaims reads the three forms that Plug.Crypto.verify/4 accepts.
func readClaims(term any) (phoenixClaims, error) {
	var data, signed, maxAge any
	switch t := term.(type) {
	case Tuple:
		switch len(t) {
		case 3:
			data, signed, maxAge = t[0], t[1], t[2]
		case 2:
			data, signed, maxAge = t[0], t[1], For(SignedMaxAge).term()
		default:
			return phoenixClaims{}, errClaims
		}
	case map[any]any:
		var ok bool
		if data, ok = t[Atom("data")]; !ok {
			return phoenixClaims{}, errClaims
		}
		signed, maxAge = t[Atom("signed")], For(SignedMaxAge).term()
	default:
		return phoenixClaims{}, errClaims
	}

	signedAt, ok := signed.(int64)
	if !ok {
		return phoenixClaims{}, errors.New("signed_at is not an integer of milliseconds")
	}
	limit, ok := maxAgeFromTerm(maxAge)
	if !ok {
		return phoenixClaims{}, errors.New("max_age is neither a number of seconds nor infinity")
	}
	return phoenixClaims{data: data, signedAt: signedAt, maxAge: limit}, nil
}
