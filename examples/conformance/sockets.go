package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/trunkline/trunkline"
)

const tokenMaxAge = 86400 * time.Second

var errRateLimit = errors.New("rate limit")

// mount adds the fixture's socket paths and their channels.
func mount(srv *trunkline.Server) {
	room := func() trunkline.Channel { return &Room{srv: srv} }
	userToken := tokenConnect(srv, func(r *trunkline.ConnectRequest) string { return r.Param("token") })

	socket := srv.Socket("/socket", trunkline.SocketOptions{
		Connect: userToken, LongPollWindow: time.Second,
	})
	socket.Channel("room:*", room)
	socket.Channel("exact", func() trunkline.Channel { return &A{} })
	socket.Channel("order:*", func() trunkline.Channel { return &A{} })
	socket.Channel("order:special", func() trunkline.Channel { return &B{} })
	socket.Channel("deep:a:*", func() trunkline.Channel { return &B{} })
	socket.Channel("deep:*", func() trunkline.Channel { return &A{} })
	socket.Channel("assigned:*", func() trunkline.Channel { return &A{extra: "yes"} })

	mounts := []*trunkline.Mount{
		srv.Socket("/fast", trunkline.SocketOptions{
			Connect: userToken, Timeout: time.Second, MaxFrame: 2048, MaxChannels: 3,
			LongPollWindow: 300 * time.Millisecond, LongPollMaxAge: 2 * time.Second,
		}),
		srv.Socket("/anon", trunkline.SocketOptions{
			Connect: connectAnonymous, Subprotocols: []string{"one", "two"}, OnError: answerError,
		}),
		srv.Socket("/strict", trunkline.SocketOptions{Connect: anonymous}),
		srv.Socket("/list", trunkline.SocketOptions{
			Connect: anonymous,
			CheckOrigin: allow("//example.com", "//*.wild.example",
				"https://secure.example:8443", "http://plain.example"),
			LongPollCheckOrigin: allow("//example.com"),
		}),
		srv.Socket("/conn", trunkline.SocketOptions{
			Connect: anonymous, CheckOrigin: trunkline.SameOrigin(), NoLongPoll: true,
		}),
		srv.Socket("/auth", trunkline.SocketOptions{
			Connect:   tokenConnect(srv, (*trunkline.ConnectRequest).AuthToken),
			AuthToken: true, OnError: answerBadAuthToken, LongPollWindow: time.Second,
		}),
	}
	for _, m := range mounts {
		m.Channel("room:*", room)
	}
}

// user is the connection's assigns.
type user struct{ id string }

// tokenConnect wants a Phoenix token whose data is the user's id.
func tokenConnect(srv *trunkline.Server, from func(*trunkline.ConnectRequest) string) func(context.Context, *trunkline.ConnectRequest) (trunkline.Session, error) {
	return func(_ context.Context, r *trunkline.ConnectRequest) (trunkline.Session, error) {
		token := from(r)
		if token == "" {
			return trunkline.Session{}, trunkline.ErrRefused
		}
		id, err := srv.VerifyUserToken("user socket", token, tokenMaxAge)
		if err != nil {
			return trunkline.Session{}, err
		}
		return trunkline.Session{ID: "user_socket:" + id, Assigns: user{id}}, nil
	}
}

func anonymous(context.Context, *trunkline.ConnectRequest) (trunkline.Session, error) {
	return trunkline.Session{Assigns: user{"anon"}}, nil
}

func connectAnonymous(ctx context.Context, r *trunkline.ConnectRequest) (trunkline.Session, error) {
	switch r.Param("refuse") {
	case "plain":
		return trunkline.Session{}, trunkline.ErrRefused
	case "rate":
		return trunkline.Session{}, errRateLimit
	case "raise":
		panic("raised in connect")
	}
	return anonymous(ctx, r)
}

func answerError(w http.ResponseWriter, _ *http.Request, err error) {
	status, body := http.StatusForbidden, "no"
	if errors.Is(err, errRateLimit) {
		status, body = http.StatusTooManyRequests, "Too many requests"
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}

// answerBadAuthToken answers as Phoenix does, which crashes on such a token.
func answerBadAuthToken(w http.ResponseWriter, _ *http.Request, err error) {
	if !errors.Is(err, trunkline.ErrBadAuthToken) {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(http.StatusInternalServerError)
	_, _ = w.Write([]byte(`{"errors":{"detail":"Internal Server Error"}}`))
}

func allow(origins ...string) trunkline.OriginPolicy {
	policy, err := trunkline.AllowOrigins(origins...)
	if err != nil {
		panic(err)
	}
	return policy
}
