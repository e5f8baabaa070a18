package webhook

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const (
	// DefaultTimeout of an attempt.
	DefaultTimeout = 10 * time.Second
	// MaxTimeout of an attempt: a node that stops waits for those under way.
	MaxTimeout = time.Minute

	maxNameBytes = 100
	// connectTimeout bounds the dial, and after it the TLS handshake.
	connectTimeout = 5 * time.Second
	idleTimeout    = 30 * time.Second
	maxHeaderBytes = 64 << 10

	secretPrefix = "whsec_"
	// As Standard Webhooks asks.
	minSecretBytes = 24
	maxSecretBytes = 64
)

// Endpoint is where events go.
type Endpoint struct {
	URL          string
	Secret       string // "whsec_" and base64; several are separated by spaces
	Timeout      time.Duration
	AllowPrivate bool
}

// endpoint is an Endpoint that was checked.
type endpoint struct {
	name    string
	url     string
	signers []*standardwebhooks.Webhook
	timeout time.Duration
	client  *http.Client
}

// newEndpoint's errors name the field, and never hold the URL or the secret.
func newEndpoint(name string, e Endpoint) (*endpoint, error) {
	if name == "" || len(name) > maxNameBytes {
		return nil, fmt.Errorf("the name is %d bytes: want 1 to %d", len(name), maxNameBytes)
	}
	if err := checkURL(e.URL, e.AllowPrivate); err != nil {
		return nil, fmt.Errorf("URL: %w", err)
	}
	signers, err := newSigners(e.Secret)
	if err != nil {
		return nil, fmt.Errorf("secret (WEBHOOK_SECRET): %w", err)
	}
	if e.Timeout == 0 {
		e.Timeout = DefaultTimeout
	}
	if e.Timeout < 0 || e.Timeout > MaxTimeout {
		return nil, fmt.Errorf("timeout is %v: want at most %v", e.Timeout, MaxTimeout)
	}
	return &endpoint{name: name, url: e.URL, signers: signers, timeout: e.Timeout, client: newClient(e.AllowPrivate)}, nil
}

func checkURL(text string, allowPrivate bool) error {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Hostname() == "" {
		return errors.New("want https://host/path")
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil && !allowPrivate {
		return checkAddress(a)
	}
	return nil
}

func newSigners(secret string) (all []*standardwebhooks.Webhook, err error) {
	for _, one := range strings.Fields(secret) {
		encoded, ok := strings.CutPrefix(one, secretPrefix)
		key, err := base64.StdEncoding.DecodeString(encoded)
		if !ok || err != nil || len(key) < minSecretBytes || len(key) > maxSecretBytes {
			return nil, fmt.Errorf(`want %q and %d to %d bytes in base64, such as echo "%s$(openssl rand -base64 32)" prints; several are separated by spaces`,
				secretPrefix, minSecretBytes, maxSecretBytes, secretPrefix)
		}
		signer, err := standardwebhooks.NewWebhookRaw(key)
		if err != nil {
			return nil, err
		}
		all = append(all, signer)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf(`it is missing: make one with echo "%s$(openssl rand -base64 32)"`, secretPrefix)
	}
	return all, nil
}

// newClient follows no redirect and asks no proxy: both would dial what nobody
// has checked.
func newClient(allowPrivate bool) *http.Client {
	dialer := &net.Dialer{Timeout: connectTimeout}
	if !allowPrivate {
		dialer.ControlContext = checkDial
	}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			TLSHandshakeTimeout:    connectTimeout,
			MaxResponseHeaderBytes: maxHeaderBytes,
			IdleConnTimeout:        idleTimeout,
			ForceAttemptHTTP2:      true,
			DisableCompression:     true,
		},
	}
}
