package trunkline_test

import (
	"context"
	"fmt"

	"github.com/trunkline/trunkline"
)

// kitchen answers an order when it is done, and handles other pushes meanwhile.
type kitchen struct{ orders chan func() error }

func (k *kitchen) Join(context.Context, *trunkline.Socket, trunkline.Payload) (any, error) {
	return nil, nil
}

func (k *kitchen) HandleIn(_ context.Context, s *trunkline.Socket, event string, p trunkline.Payload) (trunkline.Reply, error) {
	if event == "ping" {
		return trunkline.OK(p), nil
	}
	ref, err := s.Ref()
	if err != nil {
		return trunkline.NoReply, err // the client sent no ref: nobody waits for an answer
	}
	k.orders <- func() error { return s.Reply(ref, trunkline.OK(map[string]string{"dish": "soup"})) }
	return trunkline.NoReply, nil
}

// A push that is answered later, from another goroutine.
func ExampleSocket_Reply() {
	orders := make(chan func() error, 1)
	url, stop := run("kitchen", func() trunkline.Channel { return &kitchen{orders} })
	defer stop()
	alice := connect(url, "alice")
	defer alice.close()
	alice.join("kitchen")

	alice.send(`["1","2","kitchen","order",{}]`)
	alice.send(`["1","3","kitchen","ping",{}]`)
	fmt.Println(alice.receive())
	if err := (<-orders)(); err != nil {
		fmt.Println(err)
	}
	fmt.Println(alice.receive())
	// Output:
	// ["1","3","kitchen","phx_reply",{"response":{},"status":"ok"}]
	// ["1","2","kitchen","phx_reply",{"response":{"dish":"soup"},"status":"ok"}]
}
