package realtime

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// OriginPolicy decides on a request that carries an Origin header; one without
// is always accepted. origin may lack a host ("null", "file://").
type OriginPolicy func(r *http.Request, origin *url.URL) bool

// AnyOrigin is Phoenix's check_origin: false.
func AnyOrigin(*http.Request, *url.URL) bool { return true }

// SameOrigin is Phoenix's check_origin: :conn: scheme, host and port of the
// request. Behind a proxy that ends TLS the scheme is the proxy's.
func SameOrigin(r *http.Request, origin *url.URL) bool {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	self, err := url.Parse(scheme + "://" + r.Host)
	return err == nil && origin.Host != "" && origin.Scheme == scheme &&
		origin.Hostname() == self.Hostname() && port(origin) == port(self)
}

// HostOrigin compares only the host, case-sensitively, as Phoenix's
// check_origin: true does with the endpoint's url host. An empty host means
// the request's own Host header.
func HostOrigin(host string) OriginPolicy {
	return func(r *http.Request, origin *url.URL) bool {
		want := host
		if want == "" {
			want = hostname(r.Host)
		}
		return origin.Host != "" && origin.Hostname() == want
	}
}

// ListOrigins accepts what is listed: "//host", "scheme://host" or
// "scheme://host:port". A missing part is a wildcard, but "http://h" means port
// 80 and "https://h" 443; "*.h" matches h and any depth below it.
func ListOrigins(allowed ...string) (OriginPolicy, error) {
	list := make([]*url.URL, 0, len(allowed))
	for _, a := range allowed {
		u, err := url.Parse(a)
		if err != nil || u.Host == "" || (u.Path != "" && u.Path != "/") {
			return nil, fmt.Errorf(`allowed origin %q: want "//host", "scheme://host" or "scheme://host:port"`, a)
		}
		list = append(list, u)
	}
	return func(_ *http.Request, origin *url.URL) bool {
		for _, a := range list {
			if originMatches(a, origin) {
				return true
			}
		}
		return false
	}, nil
}

func originMatches(allowed, origin *url.URL) bool {
	if origin.Host == "" || (allowed.Scheme != "" && allowed.Scheme != origin.Scheme) {
		return false
	}
	if p := port(allowed); p != "" && p != port(origin) {
		return false
	}
	host := origin.Hostname()
	if base, ok := strings.CutPrefix(allowed.Hostname(), "*."); ok {
		return host == base || strings.HasSuffix(host, "."+base)
	}
	return host == allowed.Hostname()
}

// port is the port of a URL, by its scheme where none is written.
func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	switch u.Scheme {
	case "http", "ws":
		return "80"
	case "https", "wss":
		return "443"
	}
	return ""
}

func hostname(hostport string) string {
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		return h
	}
	return hostport
}

// originAllowed applies a policy to a request.
func originAllowed(policy OriginPolicy, r *http.Request) bool {
	values := r.Header.Values("Origin")
	if len(values) == 0 {
		return true
	}
	u, err := parseOrigin(values[0])
	return err == nil && policy(r, u)
}

// parseOrigin keeps the host's case, which url.Parse does as well, and takes
// "null" for an origin without host.
func parseOrigin(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, fmt.Errorf("origin: %w", err)
	}
	return u, nil
}
