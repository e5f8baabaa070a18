package chat

import (
	"context"
	"fmt"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/riverqueue/river"

	"github.com/trunkline/trunkline"
)

// maxUserID in bytes is what presence takes as a key.
const maxUserID = 1024

// TokenSalt of the tokens that the socket takes, as in the guides of Phoenix.
const TokenSalt = "user socket"

// Options of the demo. The zero value is the strict one.
type Options struct {
	// AllowTopic lets a user into room topics other than room:lobby and
	// room:private:<id>. Default: nobody.
	AllowTopic func(userID, topic string) bool
	// Verify returns the user whom a token names. Default: a Phoenix token of
	// the server's secret and TokenSalt, two weeks old at most.
	Verify func(ctx context.Context, token string) (userID string, err error)
	// CheckOrigin of the socket. Default: that of trunkline.SocketOptions.
	CheckOrigin trunkline.OriginPolicy
	// Demo serves the page and GET /demo/token?user=NAME, which signs a token
	// for whoever asks. Not for servers with real users.
	Demo bool
	// Jobs of the server, to which Register adds the demo's own.
	Jobs trunkline.JobsOptions
	// Presence of the rooms.
	Presence trunkline.PresenceOptions
	// SummaryPause is how long the job of the event summarise pauses at each of
	// its four steps, to be seen at work. Default 0.7 s.
	SummaryPause time.Duration
}

// Register adds the socket /socket, its channels and their jobs to srv, for
// which it calls srv.Jobs. The handler serves the page, its files and its token
// endpoint, for which srv must be served at /socket/ of the same host; without
// Options.Demo it answers 404.
func Register(srv *trunkline.Server, o Options) http.Handler {
	if o.AllowTopic == nil {
		o.AllowTopic = func(string, string) bool { return false }
	}
	if o.Verify == nil {
		o.Verify = func(_ context.Context, token string) (string, error) {
			return srv.VerifyUserToken(TokenSalt, token, 0)
		}
	}
	if o.SummaryPause == 0 {
		o.SummaryPause = defaultSummaryPause
	}
	jobs := o.Jobs
	jobs.Workers = func(w *river.Workers) {
		if o.Jobs.Workers != nil {
			o.Jobs.Workers(w)
		}
		river.AddWorker(w, &summariser{srv: srv, pause: o.SummaryPause})
	}
	srv.Jobs(jobs)
	socket := srv.Socket("/socket", trunkline.SocketOptions{
		AuthToken:   true,
		CheckOrigin: o.CheckOrigin,
		Connect: func(ctx context.Context, r *trunkline.ConnectRequest) (trunkline.Session, error) {
			return connect(ctx, r, o.Verify)
		},
	})
	srv.Durable("room:*", trunkline.HistoryOptions{
		Last:   50,
		Reader: func(s *trunkline.Socket) string { return userOf(s).id },
	})
	srv.Presence("room:*", o.Presence)
	socket.Channel("room:*", func() trunkline.Channel { return &room{srv: srv, allow: o.AllowTopic} })
	socket.Channel("notifications:*", func() trunkline.Channel { return &notifications{} })

	if !o.Demo {
		return http.NotFoundHandler()
	}
	mux := http.NewServeMux()
	page(mux)
	mux.HandleFunc("GET /demo/token", tokenForAnyone(func(userID string) (string, error) {
		return srv.SignToken(TokenSalt, userID)
	}))
	return mux
}

// user is what the channels of a connection know about it.
type user struct{ id string }

func userOf(s *trunkline.Socket) user { return s.Assigns().(user) }

// connect takes the token from authToken of phoenix.js 1.8, else from the
// parameter token, which every Phoenix client can send.
func connect(ctx context.Context, r *trunkline.ConnectRequest, verify func(context.Context, string) (string, error)) (trunkline.Session, error) {
	token := r.AuthToken()
	if token == "" {
		token = r.Param("token")
	}
	if token == "" {
		return trunkline.Session{}, trunkline.ErrTokenMissing
	}
	id, err := verify(ctx, token)
	if err != nil {
		return trunkline.Session{}, fmt.Errorf("token: %w", err)
	}
	if id == "" || len(id) > maxUserID || !utf8.ValidString(id) {
		return trunkline.Session{}, fmt.Errorf("token: the user's id should be UTF-8 of 1 to %d bytes", maxUserID)
	}
	return trunkline.Session{ID: "user_socket:" + id, Assigns: user{id: id}}, nil
}
