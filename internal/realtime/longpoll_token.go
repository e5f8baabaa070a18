package realtime

import (
	"fmt"
	"net/http"

	"github.com/trunkline/trunkline/internal/token"
)

const (
	longPollSalt   = "trunkline longpoll session"
	longPollHeader = "X-Phoenix-Longpoll-Token"
)

// sessionRef says where a session is. It is what a session token holds, so that
// every node of a cluster can serve it.
type sessionRef struct {
	node string
	id   string
	path string // of the mount
}

func (p *longPolls) sign(s *longPollSession) (string, error) {
	data := token.Tuple{token.Atom("v1"), p.node(), s.id, s.socket.mount.path}
	maxAge := token.For(s.socket.mount.opts.LongPoll.MaxAge)
	signed, err := p.tokens.Sign(longPollSalt, data, token.SignOptions{MaxAge: maxAge})
	if err != nil {
		return "", fmt.Errorf("sign a long-polling session: %w", err)
	}
	return signed, nil
}

// verify reads a session token; false for any that this mount did not give.
func (m *Mount) verify(signed string) (ref sessionRef, ok bool) {
	maxAge := token.For(m.opts.LongPoll.MaxAge)
	data, err := m.engine.polls.tokens.Verify(longPollSalt, signed, token.VerifyOptions{MaxAge: maxAge})
	if err != nil {
		return sessionRef{}, false
	}
	t, ok := data.(token.Tuple)
	if !ok || len(t) != 4 || t[0] != token.Atom("v1") {
		return sessionRef{}, false
	}
	for i, field := range []*string{&ref.node, &ref.id, &ref.path} {
		if *field, ok = t[i+1].(string); !ok {
			return sessionRef{}, false
		}
	}
	return ref, ref.path == m.path
}

// sessionToken is the token of a request: the header's, or the last one of the
// query, since the application may have a parameter of that name too.
func sessionToken(r *http.Request) string {
	if h := r.Header.Values(longPollHeader); len(h) > 0 {
		return h[0]
	}
	if q := r.URL.Query()["token"]; len(q) > 0 {
		return q[len(q)-1]
	}
	return ""
}
