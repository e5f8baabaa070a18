package token

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwk"
	"golang.org/x/time/rate"
)

// urlKeys are the keys of a JWK set behind a URL. After the first, one goroutine
// makes all fetches; close stops it and waits.
type urlKeys struct {
	cfg    JWTConfig
	client *http.Client
	owned  bool // the client is ours, and so are its idle connections
	log    *slog.Logger

	set      atomic.Pointer[keySet] // the last good one; nil before the first
	requests chan chan struct{}     // unbuffered; the channel sent is closed as the answer
	limit    *rate.Limiter          // of fetches that unknown keys cause

	life context.Context // ends with close
	stop context.CancelFunc
	done chan struct{} // closed when the goroutine has ended
}

// openURLKeys fetches the keys once. Where that fails it goes on without keys
// and retries: the program must be able to start while the issuer is away.
func openURLKeys(ctx context.Context, cfg JWTConfig) *urlKeys {
	var client http.Client
	if cfg.HTTPClient != nil {
		client = *cfg.HTTPClient
	} else {
		client.Transport = http.DefaultTransport.(*http.Transport).Clone()
	}
	if client.Timeout == 0 {
		client.Timeout = cfg.FetchTimeout
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	u := &urlKeys{
		cfg:      cfg,
		client:   jwk.WrapHTTPClientDefaults(&client),
		owned:    cfg.HTTPClient == nil,
		log:      cfg.Logger,
		requests: make(chan chan struct{}),
		limit:    rate.NewLimiter(rate.Every(cfg.RefetchInterval), 1),
		life:     life,
		stop:     stop,
		done:     make(chan struct{}),
	}
	ok := u.fetch(ctx)
	go u.run(ok)
	return u
}

func (u *urlKeys) current() *keySet { return u.set.Load() }

func (u *urlKeys) close() {
	u.stop()
	<-u.done
	if u.owned {
		u.client.CloseIdleConnections()
	}
}

// run fetches the keys now and then, and on request, until close.
func (u *urlKeys) run(ok bool) {
	defer close(u.done)
	timer := time.NewTimer(u.wait(ok))
	defer timer.Stop()
	for {
		select {
		case <-u.life.Done():
			return
		case <-timer.C:
			timer.Reset(u.wait(u.fetch(u.life)))
		case answer := <-u.requests:
			if u.limit.Allow() {
				timer.Reset(u.wait(u.fetch(u.life)))
			}
			close(answer)
		}
	}
}

func (u *urlKeys) wait(ok bool) time.Duration {
	if ok {
		return u.cfg.RefreshInterval
	}
	return min(u.cfg.RefreshInterval, u.cfg.RefetchInterval)
}

// refresh asks for a fetch, for a token that names an unknown key. Whoever asks
// while one is under way waits for it; within RefetchInterval of the last one
// nothing is fetched. The fetch is not the caller's: a client that hangs up does
// not end it for the others. The wait ends with ctx, or after two FetchTimeouts.
func (u *urlKeys) refresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*u.cfg.FetchTimeout)
	defer cancel()
	answer := make(chan struct{})
	select {
	case u.requests <- answer:
	case <-u.done:
		return
	case <-ctx.Done():
		return
	}
	select {
	case <-answer:
	case <-u.done:
	case <-ctx.Done():
	}
}

// fetch replaces the keys, or leaves them and reports false.
func (u *urlKeys) fetch(ctx context.Context) bool {
	set, err := u.get(ctx)
	if err != nil {
		if u.life.Err() == nil {
			u.log.Warn("the JWK set cannot be fetched", "error", err, "keeping_last_keys", u.set.Load() != nil)
		}
		return false
	}
	u.set.Store(set)
	return true
}

func (u *urlKeys) get(ctx context.Context) (*keySet, error) {
	ctx, cancel := context.WithTimeout(ctx, u.cfg.FetchTimeout)
	defer cancel()

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.cfg.JWKSURL, nil)
	if err != nil {
		return nil, withoutURL(err)
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	res, err := u.client.Do(req)
	if err != nil {
		return nil, withoutURL(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered with status %d", req.URL.Host, res.StatusCode)
	}
	text, err := readLimited(res.Body)
	if err != nil {
		return nil, err
	}
	return parseJWKSet(text, u.cfg.Algorithms)
}

// withoutURL drops the URL from an error: its query may hold a secret.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
