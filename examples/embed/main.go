// Command embed is an application with one chat room in its own HTTP server.
package main

import (
	"context"
	"log"
	"net/http"
	"os"
	"os/signal"

	"github.com/trunkline/trunkline"
)

// room is one client's membership of a topic.
type room struct{ user string }

// Join lets everybody in who is connected.
func (r *room) Join(_ context.Context, s *trunkline.Socket, _ trunkline.Payload) (any, error) {
	r.user = s.Assigns().(string)
	return nil, nil
}

// HandleIn hands a message on to all members, on all nodes.
func (r *room) HandleIn(_ context.Context, s *trunkline.Socket, event string, p trunkline.Payload) (trunkline.Reply, error) {
	var msg struct{ Body string }
	if err := p.Decode(&msg); err != nil || event != "new_msg" || msg.Body == "" {
		return trunkline.Fail(map[string]string{"reason": "want new_msg with a body"}), nil
	}
	return trunkline.OK(nil), s.Broadcast("new_msg", map[string]string{"user": r.user, "body": msg.Body})
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	srv, err := trunkline.New(trunkline.Config{
		DatabaseURL:   os.Getenv("DATABASE_URL"),
		SecretKeyBase: os.Getenv("SECRET_KEY_BASE"),
	})
	if err != nil {
		log.Fatal(err)
	}
	srv.Socket("/socket", trunkline.SocketOptions{
		AuthToken: true,
		Connect: func(_ context.Context, r *trunkline.ConnectRequest) (trunkline.Session, error) {
			user, err := srv.VerifyUserToken("user socket", r.AuthToken(), 0)
			return trunkline.Session{ID: "user_socket:" + user, Assigns: user}, err
		},
	})
	srv.Channel("room:*", func() trunkline.Channel { return &room{} })
	http.Handle("/socket/", srv)
	go func() { log.Fatal(http.ListenAndServe(":4000", nil)) }()
	if err := srv.Run(ctx); err != nil { // migrates, serves, drains
		log.Fatal(err)
	}
}
