package token

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwk"
)

// jwksServer is an issuer's key server.
type jwksServer struct {
	*httptest.Server

	mu     sync.Mutex
	body   []byte
	status int
	hold   chan struct{} // requests wait for it to be closed, where not nil
	hits   int
	hit    chan struct{} // one value per request, as far as there is room
}

func startJWKS(t *testing.T, keys ...jwk.Key) *jwksServer {
	t.Helper()
	s := &jwksServer{body: jwkSet(t, keys...), status: http.StatusOK, hit: make(chan struct{}, 1000)}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *jwksServer) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.hits++
	body, status, hold := s.body, s.status, s.hold
	s.mu.Unlock()
	select {
	case s.hit <- struct{}{}:
	default:
	}
	if hold != nil {
		select {
		case <-hold:
		case <-r.Context().Done():
			return
		}
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone
}

func (s *jwksServer) set(status int, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status, s.body = status, body
}

func (s *jwksServer) setHold(hold chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold = hold
}

func (s *jwksServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hits
}

func (s *jwksServer) waitForHit(t *testing.T) {
	t.Helper()
	select {
	case <-s.hit:
	case <-time.After(10 * time.Second):
		t.Fatal("no request within 10 s")
	}
}

func mustVerify(t *testing.T, v *JWTVerifier, key issuerKey) {
	t.Helper()
	if _, err := v.Verify(t.Context(), key.sign(t, goodClaims())); err != nil {
		t.Fatalf("token of key %q: %v", key.id, err)
	}
}

func TestJWKSURLRotation(t *testing.T) {
	t.Parallel()
	first, second, third := newIssuerKey(t, ES256, "1"), newIssuerKey(t, EdDSA, "2"), newIssuerKey(t, RS256, "3")
	server := startJWKS(t, first.jwk(t))
	v := newTestVerifier(t, JWTConfig{JWKSURL: server.URL, RefetchInterval: time.Hour})
	for range 3 {
		mustVerify(t, v, first)
	}
	if n := server.count(); n != 1 {
		t.Fatalf("%d fetches for a known key, want 1", n)
	}

	// A new key is found at once by everybody who comes with it.
	server.set(http.StatusOK, jwkSet(t, first.jwk(t), second.jwk(t)))
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := v.Verify(t.Context(), second.sign(t, goodClaims())); err != nil {
				t.Errorf("new key: %v", err)
			}
		})
	}
	wg.Wait()
	mustVerify(t, v, first)
	if n := server.count(); n != 2 {
		t.Fatalf("%d fetches after one rotation, want 2", n)
	}

	// Unknown keys do not make it fetch more often than RefetchInterval.
	server.set(http.StatusOK, jwkSet(t, third.jwk(t)))
	for range 20 {
		if _, err := v.Verify(t.Context(), third.sign(t, goodClaims())); !errors.Is(err, ErrInvalid) {
			t.Fatalf("within RefetchInterval: %v, want ErrInvalid", err)
		}
	}
	if n := server.count(); n != 2 {
		t.Errorf("%d fetches within RefetchInterval, want 2", n)
	}
}

// A token without a key id may need a new key as well.
func TestJWKSURLRotationWithoutKeyIDs(t *testing.T) {
	t.Parallel()
	first, second := newIssuerKey(t, ES256, ""), newIssuerKey(t, ES256, "")
	server := startJWKS(t, first.jwk(t))
	v := newTestVerifier(t, JWTConfig{JWKSURL: server.URL})
	mustVerify(t, v, first)
	server.set(http.StatusOK, jwkSet(t, second.jwk(t)))
	mustVerify(t, v, second)
	if _, err := v.Verify(t.Context(), first.sign(t, goodClaims())); !errors.Is(err, ErrInvalid) {
		t.Errorf("key withdrawn: %v, want ErrInvalid", err)
	}
}

func TestJWKSURLBackgroundRefresh(t *testing.T) {
	t.Parallel()
	first, second := newIssuerKey(t, ES256, "1"), newIssuerKey(t, ES256, "2")
	server := startJWKS(t, first.jwk(t))
	v := newTestVerifier(t, JWTConfig{JWKSURL: server.URL, RefreshInterval: 20 * time.Millisecond, RefetchInterval: time.Hour})
	mustVerify(t, v, first)
	server.set(http.StatusOK, jwkSet(t, second.jwk(t)))
	// Of three more requests the second began after the change, and was done
	// before the third.
	for len(server.hit) > 0 {
		<-server.hit
	}
	for range 3 {
		server.waitForHit(t)
	}
	if _, err := v.Verify(t.Context(), first.sign(t, goodClaims())); !errors.Is(err, ErrInvalid) {
		t.Errorf("key withdrawn: %v, want ErrInvalid", err)
	}
	mustVerify(t, v, second)
}

func TestJWKSURLOutage(t *testing.T) {
	t.Parallel()
	first, second := newIssuerKey(t, ES256, "1"), newIssuerKey(t, ES256, "2")
	good := jwkSet(t, first.jwk(t))
	server := startJWKS(t, first.jwk(t))
	v := newTestVerifier(t, JWTConfig{JWKSURL: server.URL, RefetchInterval: time.Nanosecond, FetchTimeout: 5 * time.Second})
	for name, broken := range map[string]struct {
		status int
		body   []byte
	}{
		"status 500":  {http.StatusInternalServerError, good},
		"status 204":  {http.StatusNoContent, nil},
		"no JSON":     {http.StatusOK, []byte("<html>maintenance</html>")},
		"empty set":   {http.StatusOK, []byte(`{"keys":[]}`)},
		"too large":   {http.StatusOK, append(good, make([]byte, maxKeySetSize)...)},
		"other JSON":  {http.StatusOK, []byte(`{"error":"no"}`)},
		"broken JSON": {http.StatusOK, good[:len(good)-2]},
	} {
		server.set(broken.status, broken.body)
		before := server.count()
		if _, err := v.Verify(t.Context(), second.sign(t, goodClaims())); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: unknown key: %v, want ErrInvalid", name, err)
		}
		if server.count() == before {
			t.Errorf("%s: nothing was fetched", name)
		}
		mustVerify(t, v, first) // by the last good set
	}
	server.set(http.StatusOK, jwkSet(t, first.jwk(t), second.jwk(t)))
	mustVerify(t, v, second)

	server.Close()
	mustVerify(t, v, first)
	if _, err := v.Verify(t.Context(), newIssuerKey(t, ES256, "3").sign(t, goodClaims())); !errors.Is(err, ErrInvalid) {
		t.Errorf("server gone, unknown key: %v, want ErrInvalid", err)
	}
}

func TestJWKSURLAwayAtStart(t *testing.T) {
	t.Parallel()
	key := newIssuerKey(t, ES256, "1")
	server := startJWKS(t, key.jwk(t))
	server.set(http.StatusServiceUnavailable, nil)
	var log safeBuffer
	v := newTestVerifier(t, JWTConfig{
		JWKSURL: server.URL + "/keys?secret=hidden", RefetchInterval: time.Nanosecond,
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if _, err := v.Verify(t.Context(), key.sign(t, goodClaims())); !errors.Is(err, ErrKeysUnavailable) || errors.Is(err, ErrInvalid) {
		t.Errorf("without keys: %v, want ErrKeysUnavailable", err)
	}
	if text := log.String(); !strings.Contains(text, "status 503") || strings.Contains(text, "hidden") {
		t.Errorf("the log says %s", text)
	}
	server.set(http.StatusOK, jwkSet(t, key.jwk(t)))
	mustVerify(t, v, key)
}

// The URL of a failed request stays out of the log: its query may be secret.
func TestJWKSURLNotInLog(t *testing.T) {
	t.Parallel()
	server := startJWKS(t, newIssuerKey(t, ES256, "1").jwk(t))
	server.Close()
	var log safeBuffer
	newTestVerifier(t, JWTConfig{JWKSURL: server.URL + "/?secret=hidden", Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if text := log.String(); !strings.Contains(text, "cannot be fetched") || strings.Contains(text, "hidden") {
		t.Errorf("the log says %s", text)
	}
}

func TestJWKSURLSlow(t *testing.T) {
	t.Parallel()
	key := newIssuerKey(t, ES256, "1")
	server := startJWKS(t, key.jwk(t))
	hold := make(chan struct{})
	defer close(hold)
	server.setHold(hold)

	started := time.Now()
	v := newTestVerifier(t, JWTConfig{JWKSURL: server.URL, FetchTimeout: 100 * time.Millisecond, RefetchInterval: time.Hour})
	if took := time.Since(started); took < 100*time.Millisecond || took > 5*time.Second {
		t.Errorf("the start took %s, want about FetchTimeout", took)
	}
	if _, err := v.Verify(t.Context(), key.sign(t, goodClaims())); !errors.Is(err, ErrKeysUnavailable) {
		t.Errorf("while the server hangs: %v, want ErrKeysUnavailable", err)
	}
}

// A client that hangs up neither waits on nor ends the fetch that it caused.
func TestJWKSURLCallerGone(t *testing.T) {
	t.Parallel()
	first, second := newIssuerKey(t, ES256, "1"), newIssuerKey(t, ES256, "2")
	server := startJWKS(t, first.jwk(t))
	v := newTestVerifier(t, JWTConfig{JWKSURL: server.URL, FetchTimeout: time.Minute, RefetchInterval: time.Hour})
	server.waitForHit(t)

	hold := make(chan struct{})
	server.setHold(hold)
	server.set(http.StatusOK, jwkSet(t, first.jwk(t), second.jwk(t)))
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 2)
	verify := func(ctx context.Context) {
		_, err := v.Verify(ctx, second.sign(t, goodClaims()))
		result <- err
	}
	go verify(ctx)
	server.waitForHit(t)
	cancel()
	if err := <-result; !errors.Is(err, ErrInvalid) {
		t.Errorf("the caller that is gone got %v, want ErrInvalid", err)
	}
	mustVerify(t, v, first) // known keys do not wait

	go verify(t.Context())
	close(hold)
	if err := <-result; err != nil {
		t.Errorf("the next caller got %v", err)
	}
	if n := server.count(); n != 2 {
		t.Errorf("%d fetches, want 2", n)
	}
}

func TestJWKSURLCloseEndsFetch(t *testing.T) {
	t.Parallel()
	key := newIssuerKey(t, ES256, "1")
	server := startJWKS(t, key.jwk(t))
	v := newTestVerifier(t, JWTConfig{JWKSURL: server.URL, FetchTimeout: time.Hour})
	server.waitForHit(t)
	hold := make(chan struct{})
	defer close(hold)
	server.setHold(hold)
	result := make(chan error, 1)
	go func() {
		_, err := v.Verify(t.Context(), newIssuerKey(t, ES256, "2").sign(t, goodClaims()))
		result <- err
	}()
	server.waitForHit(t)
	v.Close() // would wait an hour
	if err := <-result; !errors.Is(err, ErrInvalid) {
		t.Errorf("the waiting caller got %v, want ErrInvalid", err)
	}
	mustVerify(t, v, key) // keys in memory still serve
	v.Close()             // twice is fine
}

func TestJWKSFileRotation(t *testing.T) {
	t.Parallel()
	first, second := newIssuerKey(t, ES256, "1"), newIssuerKey(t, EdDSA, "2")
	path := filepath.Join(t.TempDir(), "jwks.json")
	replace := func(text []byte) { // as configuration management does
		t.Helper()
		if err := os.WriteFile(path+".new", text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	replace(jwkSet(t, first.jwk(t)))
	var log safeBuffer
	v := newTestVerifier(t, JWTConfig{JWKSFile: path, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	mustVerify(t, v, first)

	replace(jwkSet(t, second.jwk(t)))
	mustVerify(t, v, second)
	if _, err := v.Verify(t.Context(), first.sign(t, goodClaims())); !errors.Is(err, ErrInvalid) {
		t.Errorf("key withdrawn: %v, want ErrInvalid", err)
	}

	for _, broken := range []string{"", "{", `{"keys":[]}`, strings.Repeat(" ", maxKeySetSize+1)} {
		replace([]byte(broken))
		before := strings.Count(log.String(), "not usable")
		mustVerify(t, v, second)
		mustVerify(t, v, second)
		if n := strings.Count(log.String(), "not usable") - before; n != 1 {
			t.Errorf("a broken file is logged %d times, want once", n)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	mustVerify(t, v, second)
	mustVerify(t, v, second)
	if n := strings.Count(log.String(), "cannot be read"); n != 1 {
		t.Errorf("a missing file is logged %d times, want once", n)
	}
	replace(jwkSet(t, first.jwk(t)))
	mustVerify(t, v, first)

	// Written in place, too.
	if err := os.WriteFile(path, jwkSet(t, first.jwk(t), second.jwk(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	mustVerify(t, v, second)
}

// safeBuffer is a log that goroutines write to.
type safeBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
