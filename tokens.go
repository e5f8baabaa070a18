package trunkline

import (
	"context"
	"log/slog"
	"time"

	"github.com/trunkline/trunkline/internal/token"
)

// Errors of VerifyToken and JWTVerifier.Verify.
var (
	// ErrTokenMissing is for the application to use where a client sent none.
	ErrTokenMissing = token.ErrMissing
	// ErrTokenInvalid: wrong shape, signature, salt, key, issuer or audience.
	ErrTokenInvalid = token.ErrInvalid
	// ErrTokenExpired: genuine, but too old.
	ErrTokenExpired = token.ErrExpired
)

// SignToken makes the token that Phoenix.Token.sign makes with the same secret,
// salt and data (strings, integers, lists, maps with string keys and so on).
func (s *Server) SignToken(salt string, data any) (string, error) {
	return s.signer.Sign(salt, data, token.SignOptions{})
}

// VerifyToken returns the data of a token of Phoenix.Token.sign or SignToken. A
// maxAge of zero means the token's own limit, two weeks at most.
func (s *Server) VerifyToken(salt, tok string, maxAge time.Duration) (any, error) {
	var o token.VerifyOptions
	if maxAge != 0 {
		o.MaxAge = token.For(maxAge)
	}
	return s.signer.Verify(salt, tok, o)
}

// VerifyUserToken is VerifyToken for tokens whose data names a user: strings as
// they are, integers in decimal, anything else is ErrTokenInvalid.
func (s *Server) VerifyUserToken(salt, tok string, maxAge time.Duration) (userID string, err error) {
	data, err := s.VerifyToken(salt, tok, maxAge)
	if err != nil {
		return "", err
	}
	userID, ok := token.DataString(data)
	if !ok {
		return "", ErrTokenInvalid
	}
	return userID, nil
}

// JWTOptions say which JSON Web Tokens are accepted. Exactly one of Secret,
// PublicKeyPEM, JWKSURL and JWKSFile must be set.
type JWTOptions struct {
	// Secret of HS256, at least 32 bytes.
	Secret string
	// PublicKeyPEM holds public keys or certificates: RSA, ECDSA P-256, Ed25519.
	PublicKeyPEM string
	// JWKSURL is where the issuer publishes its keys; they are refreshed every
	// 15 minutes and when a token names an unknown key, and the last good set is
	// kept while the URL does not answer.
	JWKSURL string
	// JWKSFile is a file of keys, read again whenever it has changed.
	JWKSFile string
	// Algorithms of HS256, RS256, ES256 and EdDSA. Default: HS256 with Secret,
	// the others without.
	Algorithms []string
	// Issuer and Audience must match the claims iss and aud where they are set.
	Issuer, Audience string
	// MaxAge limits tokens without exp, counted from iat. Default two weeks.
	MaxAge time.Duration
	// Logger is told when keys cannot be fetched or read. Default:
	// slog.Default().
	Logger *slog.Logger
}

// JWTVerifier verifies JSON Web Tokens.
type JWTVerifier struct{ v *token.JWTVerifier }

// Claims of a verified token.
type Claims struct {
	Subject   string
	ExpiresAt time.Time
	claims    token.Claims
}

// Decode unmarshals all claims into v.
func (c Claims) Decode(v any) error { return c.claims.Decode(v) }

// NewJWTVerifier reads the keys. ctx bounds the first fetch of JWKSURL; without
// an answer, tokens are refused until it comes. Close ends the refreshing.
func NewJWTVerifier(ctx context.Context, o JWTOptions) (*JWTVerifier, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	v, err := token.NewJWTVerifier(ctx, token.JWTConfig{
		Secret: o.Secret, PublicKeyPEM: o.PublicKeyPEM, JWKSURL: o.JWKSURL, JWKSFile: o.JWKSFile,
		Algorithms: o.Algorithms, Issuer: o.Issuer, Audience: o.Audience, MaxAge: o.MaxAge,
		Logger: o.Logger,
	})
	if err != nil {
		return nil, err
	}
	return &JWTVerifier{v}, nil
}

// Verify checks signature, exp, nbf, issuer and audience. A token with neither
// exp nor iat is refused.
func (v *JWTVerifier) Verify(ctx context.Context, tok string) (Claims, error) {
	c, err := v.v.Verify(ctx, tok)
	if err != nil {
		return Claims{}, err
	}
	return Claims{Subject: c.Subject, ExpiresAt: c.ExpiresAt, claims: c}, nil
}

// Close ends the refreshing of keys.
func (v *JWTVerifier) Close() { v.v.Close() }
