package token

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The algorithms a [JWTVerifier] can be told to accept.
const (
	HS256 = "HS256"
	RS256 = "RS256"
	ES256 = "ES256"
	EdDSA = "EdDSA" // Ed25519
)

const (
	minHMACSecretSize = 32 // RFC 7518, 3.2
	maxLeeway         = 5 * time.Minute

	defaultLeeway          = 10 * time.Second
	defaultFetchTimeout    = 5 * time.Second
	defaultRefreshInterval = 15 * time.Minute
	defaultRefetchInterval = 10 * time.Second
)

// JWTConfig says which JSON Web Tokens are accepted. Exactly one of Secret,
// PublicKeyPEM, JWKSURL and JWKSFile must be set; everything else has a default.
type JWTConfig struct {
	// Secret is the shared secret of HS256, at least 32 bytes, taken byte for
	// byte (an issuer that shows it in base64 may mean the text or the bytes).
	Secret string

	// PublicKeyPEM holds one or more public keys or certificates in PEM: RSA of
	// at least 2048 bits, ECDSA on P-256, or Ed25519. Several serve a rotation.
	PublicKeyPEM string

	// JWKSURL is where the issuer publishes its keys, for example
	// https://issuer.example/.well-known/jwks.json. They are fetched at the start,
	// every RefreshInterval, and when a token names a key that is not known.
	// While the URL does not answer, the last good set stays in use.
	JWKSURL string

	// AllowPlainHTTP admits http:// in JWKSURL. Whoever can alter the traffic can
	// then sign tokens. Loopback addresses are admitted without it.
	AllowPlainHTTP bool

	// JWKSFile is the path of a JWK set, read again whenever the file changed.
	// While it is missing or broken, the last good set stays in use.
	JWKSFile string

	// Algorithms that are accepted, of HS256, RS256, ES256 and EdDSA. Default:
	// HS256 with Secret, otherwise the three others. HS256 goes with Secret only,
	// and Secret with HS256 only: a public key is never used as a secret.
	Algorithms []string

	// Issuer, where set, must equal the claim iss.
	Issuer string

	// Audience, where set, must be among the claim aud.
	Audience string

	// MaxAge limits tokens that have no exp: they expire this long after their
	// iat. Default: two weeks (DefaultMaxAge). A token with neither is refused.
	MaxAge time.Duration

	// Leeway is how far the issuer's clock may differ, for exp, nbf and iat.
	// Default: 10 seconds; at most 5 minutes.
	Leeway time.Duration

	// FetchTimeout bounds each fetch of JWKSURL, body included. Default: 5 seconds.
	FetchTimeout time.Duration

	// RefreshInterval is the time between two fetches of JWKSURL in the
	// background. A failed one is tried again after RefetchInterval, where that
	// is shorter. Default: 15 minutes.
	RefreshInterval time.Duration

	// RefetchInterval is the least time between two fetches of JWKSURL that
	// unknown keys cause, so that invented key ids cannot flood the issuer.
	// Default: 10 seconds.
	RefetchInterval time.Duration

	// HTTPClient fetches JWKSURL. FetchTimeout applies to it as well; redirects
	// from https to http are refused. Default: a client with the settings of
	// http.DefaultTransport.
	HTTPClient *http.Client

	// Logger is told when keys cannot be fetched or read. Default: silence.
	Logger *slog.Logger

	// Now is the clock that tokens are checked against. Default: time.Now.
	Now func() time.Time
}

func (c JWTConfig) withDefaults() JWTConfig {
	if len(c.Algorithms) == 0 {
		c.Algorithms = []string{RS256, ES256, EdDSA}
		if c.Secret != "" {
			c.Algorithms = []string{HS256}
		}
	}
	setDefault(&c.MaxAge, DefaultMaxAge)
	setDefault(&c.Leeway, defaultLeeway)
	setDefault(&c.FetchTimeout, defaultFetchTimeout)
	setDefault(&c.RefreshInterval, defaultRefreshInterval)
	setDefault(&c.RefetchInterval, defaultRefetchInterval)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}

// validate expects the defaults to be filled in.
func (c JWTConfig) validate() error {
	if err := c.validateSource(); err != nil {
		return err
	}
	for _, alg := range c.Algorithms {
		switch {
		case !slices.Contains([]string{HS256, RS256, ES256, EdDSA}, alg):
			return fmt.Errorf("token: JWTConfig.Algorithms has %q, want HS256, RS256, ES256 or EdDSA", alg)
		case alg == HS256 && c.Secret == "":
			return fmt.Errorf("token: JWTConfig.Algorithms has HS256, which needs JWTConfig.Secret")
		case alg != HS256 && c.Secret != "":
			return fmt.Errorf("token: JWTConfig.Algorithms has %s, which does not go with JWTConfig.Secret but with a public key", alg)
		}
	}
	for _, d := range []struct {
		field string
		value time.Duration
	}{
		{"MaxAge", c.MaxAge},
		{"Leeway", c.Leeway},
		{"FetchTimeout", c.FetchTimeout},
		{"RefreshInterval", c.RefreshInterval},
		{"RefetchInterval", c.RefetchInterval},
	} {
		if d.value < 0 {
			return fmt.Errorf("token: JWTConfig.%s is %s, it must not be negative", d.field, d.value)
		}
	}
	if c.Leeway > maxLeeway {
		return fmt.Errorf("token: JWTConfig.Leeway is %s, the limit is %s", c.Leeway, maxLeeway)
	}
	return nil
}

func (c JWTConfig) validateSource() error {
	var set []string
	for _, source := range []struct{ field, value string }{
		{"Secret", c.Secret},
		{"PublicKeyPEM", c.PublicKeyPEM},
		{"JWKSURL", c.JWKSURL},
		{"JWKSFile", c.JWKSFile},
	} {
		if source.value != "" {
			set = append(set, source.field)
		}
	}
	switch len(set) {
	case 0:
		return fmt.Errorf("token: JWTConfig has no key: set one of Secret, PublicKeyPEM, JWKSURL and JWKSFile")
	case 1:
	default:
		return fmt.Errorf("token: JWTConfig has %s set: set only one of them", strings.Join(set, " and "))
	}
	switch set[0] {
	case "Secret":
		return c.validateSecret()
	case "JWKSURL":
		return c.validateURL()
	}
	return nil
}

func (c JWTConfig) validateSecret() error {
	if len(c.Secret) < minHMACSecretSize {
		return fmt.Errorf("token: JWTConfig.Secret has %d bytes, HS256 needs at least %d", len(c.Secret), minHMACSecretSize)
	}
	if strings.Contains(c.Secret, "-----BEGIN ") {
		return fmt.Errorf("token: JWTConfig.Secret holds a key in PEM: a public key is no secret, set JWTConfig.PublicKeyPEM instead")
	}
	return nil
}

func (c JWTConfig) validateURL() error {
	u, err := url.Parse(c.JWKSURL)
	if err != nil || u.Host == "" {
		return fmt.Errorf("token: JWTConfig.JWKSURL is not an absolute URL")
	}
	if u.User != nil {
		return fmt.Errorf("token: JWTConfig.JWKSURL must not hold a user name or password")
	}
	switch {
	case u.Scheme == "https":
	case u.Scheme == "http" && (c.AllowPlainHTTP || isLoopback(u.Hostname())):
	case u.Scheme == "http":
		return fmt.Errorf("token: JWTConfig.JWKSURL is plain http: use https, or set JWTConfig.AllowPlainHTTP")
	default:
		return fmt.Errorf("token: JWTConfig.JWKSURL has the scheme %q, want https", u.Scheme)
	}
	return nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
