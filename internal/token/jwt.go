package token

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jws"
	"github.com/lestrrat-go/jwx/v3/jwt"
)

// Claims are what a verified JWT says. Absent claims are zero.
type Claims struct {
	Subject   string    // sub: the user
	Issuer    string    // iss
	Audience  []string  // aud
	ID        string    // jti
	IssuedAt  time.Time // iat
	NotBefore time.Time // nbf
	// ExpiresAt is exp or, without it, iat plus the configured MaxAge. Never zero.
	ExpiresAt time.Time

	payload []byte
}

// Decode unmarshals all claims, the issuer's own too, into dst as
// encoding/json does.
func (c Claims) Decode(dst any) error { return json.Unmarshal(c.payload, dst) }

// keySource is where keys come from.
type keySource interface {
	// current returns the keys to use now; nil where there are none yet.
	current() *keySet
	// refresh gets newer keys, where there may be any, before it returns.
	refresh(ctx context.Context)
	close()
}

// fixedKeys is the source of keys that stand in the configuration.
type fixedKeys struct{ set *keySet }

func (f fixedKeys) current() *keySet        { return f.set }
func (f fixedKeys) refresh(context.Context) {}
func (f fixedKeys) close()                  {}

// JWTVerifier verifies JSON Web Tokens. It is safe for concurrent use.
type JWTVerifier struct {
	cfg  JWTConfig
	keys keySource
}

// NewJWTVerifier checks the configuration and reads the keys. With JWKSURL it
// waits for the first fetch, at most FetchTimeout; where that fails, it logs so
// and returns a verifier that answers ErrKeysUnavailable until the URL does
// answer. All other faults are errors that name the field. ctx bounds the first
// fetch only; the verifier lives until Close.
func NewJWTVerifier(ctx context.Context, cfg JWTConfig) (*JWTVerifier, error) {
	cfg.Algorithms = slices.Clone(cfg.Algorithms)
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	v := &JWTVerifier{cfg: cfg}
	switch {
	case cfg.Secret != "":
		v.keys = fixedKeys{secretKeySet(cfg.Secret)}
	case cfg.PublicKeyPEM != "":
		set, err := parsePEMKeySet(cfg.PublicKeyPEM, cfg.Algorithms)
		if err != nil {
			return nil, fmt.Errorf("token: JWTConfig.PublicKeyPEM: %w", err)
		}
		v.keys = fixedKeys{set}
	case cfg.JWKSFile != "":
		keys, err := openFileKeys(cfg)
		if err != nil {
			return nil, err
		}
		v.keys = keys
	default:
		v.keys = openURLKeys(ctx, cfg)
	}
	return v, nil
}

// Close stops the fetching of keys and waits for its end.
func (v *JWTVerifier) Close() { v.keys.close() }

// String keeps the secret out of logs.
func (v *JWTVerifier) String() string { return "token.JWTVerifier" }

// GoString keeps the secret out of logs.
func (v *JWTVerifier) GoString() string { return "token.JWTVerifier" }

// Verify checks a token in the compact form: its signature by a key that goes
// with its algorithm, then exp, nbf, iat, iss and aud. The error is ErrInvalid,
// ErrExpired, ErrMalformed (signed, but not a set of claims) or
// ErrKeysUnavailable. A token that names an unknown key makes it fetch JWKSURL,
// at most once per RefetchInterval, and waits for the answer until ctx ends.
func (v *JWTVerifier) Verify(ctx context.Context, token string) (Claims, error) {
	if len(token) > MaxTokenSize {
		return Claims{}, fmt.Errorf("%w: it has %d bytes, the limit is %d", ErrInvalid, len(token), MaxTokenSize)
	}
	alg, keyID, err := readHeader(token)
	if err != nil {
		return Claims{}, err
	}
	if !slices.Contains(v.cfg.Algorithms, alg) {
		return Claims{}, fmt.Errorf("%w: its algorithm is not one of %s", ErrInvalid, strings.Join(v.cfg.Algorithms, ", "))
	}
	payload, err := v.authenticate(ctx, token, alg, keyID)
	if err != nil {
		return Claims{}, err
	}
	return v.readClaims(payload)
}

// readHeader returns what the token says about its signature; none of it is to
// be trusted. Errors of the library are dropped, since they quote the token.
func readHeader(token string) (alg, keyID string, err error) {
	if strings.Count(token, ".") != 2 {
		return "", "", fmt.Errorf("%w: it does not have three parts", ErrInvalid)
	}
	if strings.ContainsFunc(token, notCompact) { // the library would skip line breaks
		return "", "", fmt.Errorf("%w: it is not in base64url", ErrInvalid)
	}
	msg, err := jws.Parse([]byte(token), jws.WithCompact())
	if err != nil || len(msg.Signatures()) != 1 {
		return "", "", fmt.Errorf("%w: it is not a JWT in compact form", ErrInvalid)
	}
	header := msg.Signatures()[0].ProtectedHeaders()
	named, ok := header.Algorithm()
	if !ok {
		return "", "", fmt.Errorf("%w: it names no algorithm", ErrInvalid)
	}
	keyID, _ = header.KeyID()
	return named.String(), keyID, nil
}

func notCompact(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '_', r == '.':
		return false
	default:
		return true
	}
}

// authenticate returns the payload of a token whose signature is right.
func (v *JWTVerifier) authenticate(ctx context.Context, token, alg, keyID string) ([]byte, error) {
	set := v.keys.current()
	payload, ok := set.verify(token, alg, keyID)
	if !ok && set.mayHaveMissed(alg, keyID) {
		v.keys.refresh(ctx)
		if newer := v.keys.current(); newer != set {
			set = newer
			payload, ok = set.verify(token, alg, keyID)
		}
	}
	switch {
	case ok:
		return payload, nil
	case set == nil:
		return nil, ErrKeysUnavailable
	default:
		return nil, fmt.Errorf("%w: no key verifies its signature", ErrInvalid)
	}
}

func (s *keySet) verify(token, alg, keyID string) ([]byte, bool) {
	if s == nil {
		return nil, false
	}
	algorithm, ok := jwa.LookupSignatureAlgorithm(alg)
	if !ok {
		return nil, false
	}
	for _, key := range s.candidates(alg, keyID) {
		// It also refuses the header crit, none of whose extensions we know.
		if payload, err := jws.VerifyCompactFast(key.raw, []byte(token), algorithm); err == nil {
			return payload, true
		}
	}
	return nil, false
}

// mayHaveMissed reports whether newer keys could verify a token that these did
// not: its key is not among them, or it does not say which key it means.
func (s *keySet) mayHaveMissed(alg, keyID string) bool {
	return s == nil || keyID == "" || !slices.ContainsFunc(s.keys, func(k verifyKey) bool {
		return k.alg == alg && k.id == keyID
	})
}

// readClaims reads and checks the claims of an authentic payload.
func (v *JWTVerifier) readClaims(payload []byte) (Claims, error) {
	parsed := jwt.New()
	if err := json.Unmarshal(payload, parsed); err != nil {
		return Claims{}, fmt.Errorf("%w: it is not a set of claims", ErrMalformed)
	}
	claims := Claims{payload: payload}
	claims.Subject, _ = parsed.Subject()
	claims.Issuer, _ = parsed.Issuer()
	claims.Audience, _ = parsed.Audience()
	claims.ID, _ = parsed.JwtID()
	claims.IssuedAt, _ = parsed.IssuedAt()
	claims.NotBefore, _ = parsed.NotBefore()

	expiresAt, hasExpiry := parsed.Expiration()
	if !hasExpiry {
		if claims.IssuedAt.IsZero() {
			return Claims{}, fmt.Errorf("%w: it has neither exp nor iat, so its age has no limit", ErrInvalid)
		}
		expiresAt = claims.IssuedAt.Add(v.cfg.MaxAge)
		if err := parsed.Set(jwt.ExpirationKey, expiresAt); err != nil {
			return Claims{}, fmt.Errorf("%w: its iat is out of range", ErrMalformed)
		}
	}
	claims.ExpiresAt = expiresAt

	if err := v.validate(parsed); err != nil {
		return Claims{}, err
	}
	return claims, nil
}

func (v *JWTVerifier) validate(parsed jwt.Token) error {
	options := []jwt.ValidateOption{
		jwt.WithClock(jwt.ClockFunc(v.cfg.Now)),
		jwt.WithAcceptableSkew(v.cfg.Leeway),
	}
	if v.cfg.Issuer != "" {
		options = append(options, jwt.WithIssuer(v.cfg.Issuer))
	}
	if v.cfg.Audience != "" {
		options = append(options, jwt.WithAudience(v.cfg.Audience))
	}
	err := jwt.Validate(parsed, options...)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jwt.TokenExpiredError()):
		return ErrExpired
	case errors.Is(err, jwt.TokenNotYetValidError()):
		return fmt.Errorf("%w: it is not valid yet (nbf)", ErrInvalid)
	case errors.Is(err, jwt.InvalidIssuedAtError()):
		return fmt.Errorf("%w: it was issued in the future (iat)", ErrInvalid)
	case errors.Is(err, jwt.InvalidAudienceError()):
		return fmt.Errorf("%w: it is for another audience (aud)", ErrInvalid)
	case errors.Is(err, jwt.InvalidIssuerError()):
		return fmt.Errorf("%w: it is from another issuer (iss)", ErrInvalid)
	default:
		return fmt.Errorf("%w: a claim is missing or wrong", ErrInvalid)
	}
}
