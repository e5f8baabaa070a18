package trunkline_test

import (
	"context"
	"fmt"

	"github.com/trunkline/trunkline"
)

// dashboard greets its client after the join, and follows a second topic.
type dashboard struct{}

type greet struct{}

func (d *dashboard) Join(_ context.Context, s *trunkline.Socket, _ trunkline.Payload) (any, error) {
	if err := s.Subscribe("prices"); err != nil {
		return nil, err
	}
	return nil, s.Send(greet{}) // Join itself cannot push: nobody has joined yet
}

// HandleInfo gets what Socket.Send was given, and *Message values of prices.
func (d *dashboard) HandleInfo(_ context.Context, s *trunkline.Socket, msg any) error {
	switch msg := msg.(type) {
	case greet:
		return s.Push("welcome", nil)
	case *trunkline.Message:
		return s.Push("price", msg.Payload)
	}
	return nil
}

// Messages to a channel that do not come from its client.
func ExampleHandleInfoer() {
	databaseURL, drop := database()
	defer drop()
	srv := newServer(databaseURL)
	srv.Channel("dashboard:*", func() trunkline.Channel { return &dashboard{} })
	url, stop := start(srv)
	defer stop()
	alice := connect(url, "alice")
	defer alice.close()
	alice.join("dashboard:alice")
	fmt.Println(alice.receive())

	if err := srv.Broadcast("prices", "change", map[string]float64{"tea": 2.5}); err != nil {
		fmt.Println(err)
	}
	fmt.Println(alice.receive())
	// Output:
	// ["1",null,"dashboard:alice","welcome",{}]
	// ["1",null,"dashboard:alice","price",{"tea":2.5}]
}
