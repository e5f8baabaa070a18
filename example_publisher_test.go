package trunkline_test

import (
	"context"
	"fmt"

	"github.com/coder/websocket"

	"github.com/trunkline/trunkline"
)

// A process without sockets, such as a cron job, broadcasts into the cluster
// and disconnects a user on all nodes.
func ExampleDial() {
	databaseURL, drop := database()
	defer drop()
	srv := newServer(databaseURL)
	srv.Channel("room:*", func() trunkline.Channel { return &room{} })
	url, stop := start(srv)
	defer stop()
	alice := connect(url, "alice")
	defer alice.close()
	alice.join("room:lobby")

	ctx := context.Background()
	job, err := trunkline.Dial(ctx, trunkline.Config{DatabaseURL: databaseURL})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer job.Close()
	if err := job.Broadcast(ctx, "room:lobby", "announcement", map[string]string{"body": "tea is ready"}); err != nil {
		fmt.Println(err)
	}
	fmt.Println(alice.receive())

	if err := job.Disconnect(ctx, "user_socket:alice"); err != nil {
		fmt.Println(err)
	}
	_, _, err = alice.conn.Read(ctx)
	fmt.Println("close code", int(websocket.CloseStatus(err)))
	// Output:
	// [null,null,"room:lobby","announcement",{"body":"tea is ready"}]
	// close code 1001
}
