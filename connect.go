package trunkline

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/trunkline/trunkline/internal/realtime"
)

// Session is what the application makes of a connection that it accepts.
type Session struct {
	// ID addresses the connection, for Server.Disconnect and as a topic; ""
	// when it cannot be addressed. Several connections may share one, such as
	// "user_socket:42".
	ID string
	// Assigns is kept for the connection's channels: Socket.Assigns.
	Assigns any
}

// ConnectRequest is what the application decides by.
type ConnectRequest struct{ r *realtime.ConnectRequest }

// Param is a query parameter or a variable of the socket's path, "" when there
// is none; of a parameter given twice the last counts.
func (r *ConnectRequest) Param(name string) string { return r.r.Param(name) }

// Params are all query parameters and variables of the socket's path.
func (r *ConnectRequest) Params() url.Values { return r.r.Params }

// AuthToken is the authToken that phoenix.js 1.8 was given; "" when the client
// sent none or SocketOptions.AuthToken is off.
func (r *ConnectRequest) AuthToken() string { return r.r.AuthToken }

// Request is the HTTP request, for headers, cookies and addresses. It may not
// be kept after Connect has returned.
func (r *ConnectRequest) Request() *http.Request { return r.r.Request }

// SocketOptions of one socket path. Only Connect is required.
type SocketOptions struct {
	// Connect decides on a connection. An error refuses it with 403; see
	// OnError. A panic is answered with 500.
	Connect func(ctx context.Context, r *ConnectRequest) (Session, error)
	// OnError answers a WebSocket request that Connect refused, unless with
	// ErrRefused. Default: 403 with an empty body.
	OnError func(w http.ResponseWriter, r *http.Request, err error)
	// CheckOrigin decides by the Origin header, which browsers send. Default:
	// the host must be Config.Host.
	CheckOrigin OriginPolicy
	// LongPollCheckOrigin is CheckOrigin for long polling. Default: CheckOrigin.
	LongPollCheckOrigin OriginPolicy
	// Subprotocols that the server speaks, in its order of preference. Clients
	// that name none are accepted.
	Subprotocols []string
	// AuthToken takes phoenix.js's authToken, which keeps tokens out of URLs.
	AuthToken bool
	// Timeout: a client silent for so long is disconnected. Default 60 s.
	Timeout time.Duration
	// MaxFrame is the largest message of a client in bytes; a larger one closes
	// the connection with 1009. Default 1 MiB.
	MaxFrame int64
	// MaxChannels is how many channels one socket may join. Default 100.
	MaxChannels int
	// NoLongPoll serves WebSockets only.
	NoLongPoll bool
	// LongPollWindow is how long a poll waits for something. Default 10 s.
	LongPollWindow time.Duration
	// LongPollMaxAge limits the age of long-polling sessions' tokens. Default
	// two weeks.
	LongPollMaxAge time.Duration
}

// OriginPolicy decides on a connection by its Origin header; requests without
// one are always accepted. origin may have no host ("null").
type OriginPolicy func(r *http.Request, origin *url.URL) bool

// AnyOrigin accepts every origin: any web page may then connect with its
// visitor's cookies.
func AnyOrigin() OriginPolicy { return realtime.AnyOrigin }

// SameOrigin wants scheme, host and port of the request itself.
func SameOrigin() OriginPolicy { return realtime.SameOrigin }

// AllowOrigins accepts the listed origins: "//host", "scheme://host" or
// "scheme://host:port". A missing part is a wildcard, but "http://host" means
// port 80; "//*.host" matches host and every name below it.
func AllowOrigins(origins ...string) (OriginPolicy, error) {
	p, err := realtime.ListOrigins(origins...)
	return OriginPolicy(p), err
}

// Mount is one socket path of a Server.
type Mount struct {
	m   *realtime.Mount
	srv *Server
}

// Channel leads the topics that match pattern to channels of this path alone,
// before those of Server.Channel. See Server.Channel.
func (m *Mount) Channel(pattern string, newChannel func() Channel) {
	m.m.Channel(m.srv.newRoute(pattern, newChannel))
}

// Socket serves clients at path + "/websocket" and path + "/longpoll". The path
// may hold variables, "/ws/{user}", which Connect finds among the parameters.
// Call it before the server serves; options that cannot be are a panic, as with
// http.ServeMux.
func (s *Server) Socket(path string, o SocketOptions) *Mount {
	opts := realtime.MountOptions{
		OnError:        o.OnError,
		Origin:         realtime.OriginPolicy(o.CheckOrigin),
		LongPollOrigin: realtime.OriginPolicy(o.LongPollCheckOrigin),
		Subprotocols:   o.Subprotocols,
		AuthToken:      o.AuthToken,
		Timeout:        o.Timeout,
		MaxFrame:       o.MaxFrame,
		MaxChannels:    o.MaxChannels,
		LongPoll: realtime.LongPollOptions{
			Off:    o.NoLongPoll,
			Window: o.LongPollWindow,
			MaxAge: o.LongPollMaxAge,
		},
	}
	if o.Connect != nil {
		opts.Connect = func(ctx context.Context, r *realtime.ConnectRequest) (realtime.Session, error) {
			session, err := o.Connect(ctx, &ConnectRequest{r})
			return realtime.Session(session), err
		}
	}
	m, err := s.engine.NewMount(path, opts, func() []realtime.Route { return s.routes })
	if err != nil {
		panic(fmt.Sprintf("trunkline: %v", err))
	}
	m.Register(s.mux)
	return &Mount{m: m, srv: s}
}

func (s *Server) newRoute(pattern string, newChannel func() Channel) realtime.Route {
	p, err := realtime.ParsePattern(pattern)
	if err != nil {
		panic(fmt.Sprintf("trunkline: %v", err))
	}
	return realtime.Route{Pattern: p, New: func() realtime.Handler { return &handler{srv: s, channel: newChannel()} }}
}
