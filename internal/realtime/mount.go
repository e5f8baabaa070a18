package realtime

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/trunkline/trunkline/internal/wire"
)

// ErrRefused refuses a connection without giving a reason; OnError is not
// asked, as with a plain :error in Phoenix.
var ErrRefused = errors.New("connection refused")

// ErrBadAuthToken is what OnError gets for a bearer subprotocol that is not
// base64.
var ErrBadAuthToken = errors.New("authToken is not valid base64")

// Session is what the application makes of a connection.
type Session struct {
	ID      string // the topic that addresses the connection; "" for none
	Assigns any
}

// ConnectRequest is what the application decides by.
type ConnectRequest struct {
	// Params are the query's parameters and the path's variables.
	Params url.Values
	// AuthToken is the client's authToken, "" when it sent none.
	AuthToken string
	// Request is the HTTP request; it may not be kept.
	Request *http.Request
}

// Param is a parameter's value, the last one where it is given twice, as in
// Plug; "" when there is none.
func (r *ConnectRequest) Param(name string) string {
	if v := r.Params[name]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}

// MountOptions of one socket path. Zero values take the defaults.
type MountOptions struct {
	// Connect decides on a connection. Required.
	Connect func(ctx context.Context, r *ConnectRequest) (Session, error)
	// OnError answers a WebSocket request that Connect refused with an error
	// other than ErrRefused. Default: 403 with an empty body.
	OnError func(w http.ResponseWriter, r *http.Request, err error)
	// Origin and LongPollOrigin are the origin policies; by default the host
	// must be the server's, and long polling has the WebSocket's policy.
	Origin         OriginPolicy
	LongPollOrigin OriginPolicy
	// Subprotocols that the server speaks, in its order of preference.
	Subprotocols []string
	// AuthToken takes the client's authToken from Sec-WebSocket-Protocol or
	// X-Phoenix-AuthToken.
	AuthToken bool
	// Timeout: nothing from the client for so long ends the connection.
	// Default 60 s.
	Timeout time.Duration
	// MaxFrame is the largest message of a client in bytes. Default 1 MiB.
	MaxFrame int64
	// MaxChannels is how many channels a socket may have. Default 100.
	MaxChannels int
	// LongPoll options; LongPoll.Off serves WebSockets only.
	LongPoll LongPollOptions
}

// Mount serves one socket path.
type Mount struct {
	engine   *Engine
	path     string
	opts     MountOptions
	vars     []string // names of the path's variables
	routes   []Route
	fallback func() []Route // of the whole server, after the mount's own
}

// NewMount returns the handlers of a socket path. routes is asked at each
// join, after the mount's own.
func (e *Engine) NewMount(path string, opts MountOptions, routes func() []Route) (*Mount, error) {
	if !strings.HasPrefix(path, "/") || strings.HasSuffix(path, "/") {
		return nil, fmt.Errorf("socket path %q: must start with / and not end with one", path)
	}
	if opts.Connect == nil {
		return nil, fmt.Errorf("socket %q: Connect is required", path)
	}
	if opts.OnError == nil {
		opts.OnError = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusForbidden) }
	}
	if opts.Origin == nil {
		opts.Origin = HostOrigin(e.cfg.Host)
	}
	if opts.LongPollOrigin == nil {
		opts.LongPollOrigin = opts.Origin
	}
	if opts.Timeout == 0 {
		opts.Timeout = time.Minute
	}
	if opts.MaxFrame == 0 {
		opts.MaxFrame = 1 << 20
	}
	if opts.MaxChannels == 0 {
		opts.MaxChannels = 100
	}
	opts.LongPoll = opts.LongPoll.withDefaults()
	m := &Mount{engine: e, path: path, opts: opts, fallback: routes}
	for part := range strings.SplitSeq(path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			m.vars = append(m.vars, strings.TrimSuffix(name, "}"))
		}
	}
	return m, nil
}

// Channel adds a route to this mount alone.
func (m *Mount) Channel(r Route) { m.routes = append(m.routes, r) }

// route finds the handler of a topic: the first match counts.
func (m *Mount) route(topic string) *Route {
	for _, routes := range [][]Route{m.routes, m.fallback()} {
		for i := range routes {
			if routes[i].Pattern.Match(topic) {
				return &routes[i]
			}
		}
	}
	return nil
}

// Register adds the mount's paths to a mux.
func (m *Mount) Register(mux *http.ServeMux) {
	mux.HandleFunc(m.path+"/websocket", m.serveWebSocket)
	if !m.opts.LongPoll.Off {
		mux.HandleFunc(m.path+"/longpoll", m.serveLongPoll)
	}
}

// connect checks the version and asks the application. A panic of the
// application's Connect is returned as a *PanicError.
func (m *Mount) connect(r *http.Request, authToken string) (s *Socket, err error) {
	query := r.URL.Query()
	vsn := query["vsn"]
	present := len(vsn) > 0
	last := ""
	if present {
		last = vsn[len(vsn)-1]
	}
	version, err := wire.ParseVersion(last, present)
	if err != nil {
		m.engine.log.Warn("connection refused", "mount", m.path, "error", err)
		return nil, ErrRefused
	}
	for _, name := range m.vars {
		query.Add(name, r.PathValue(name))
	}
	defer func() {
		if v := recover(); v != nil {
			p := &PanicError{Value: v, Stack: debug.Stack()}
			m.engine.log.Error("connect crashed", "mount", m.path, "error", p, "stack", string(p.Stack))
			s, err = nil, p
		}
	}()
	session, err := m.opts.Connect(r.Context(), &ConnectRequest{Params: query, AuthToken: authToken, Request: r})
	if err != nil {
		return nil, err
	}
	return &Socket{engine: m.engine, mount: m, version: version, id: session.ID, assigns: session.Assigns}, nil
}

// internalServerError is the answer to a crash, in the form of Phoenix's error
// pages.
func internalServerError(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(http.StatusInternalServerError)
	_, _ = w.Write([]byte(`{"errors":{"detail":"Internal Server Error"}}`))
}

// negotiate picks the subprotocol: the first of the server's that the client
// offers; ok is false when both name some and none is common.
func (m *Mount) negotiate(offered []string) (protocol string, ok bool) {
	accepted := m.opts.Subprotocols
	if m.opts.AuthToken {
		accepted = append([]string{"phoenix"}, accepted...)
	}
	if len(accepted) == 0 || len(offered) == 0 {
		return "", true
	}
	for _, p := range accepted {
		if slices.Contains(offered, p) {
			return p, true
		}
	}
	return "", false
}
