package trunkline_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/trunkline/trunkline"
)

// room is one client's membership of a topic; its fields need no lock.
type room struct {
	user     string
	messages int
}

// Join lets everybody into rooms that are not private.
func (r *room) Join(_ context.Context, s *trunkline.Socket, _ trunkline.Payload) (any, error) {
	if strings.HasPrefix(s.Topic(), "room:private") {
		return nil, trunkline.Reject(map[string]string{"reason": "unauthorized"})
	}
	r.user = s.Assigns().(string)
	return map[string]string{"welcome": r.user}, nil
}

// HandleIn answers the client's pushes.
func (r *room) HandleIn(_ context.Context, s *trunkline.Socket, event string, p trunkline.Payload) (trunkline.Reply, error) {
	switch event {
	case "new_msg":
		r.messages++
		return trunkline.OK(map[string]int{"yours": r.messages}), s.BroadcastFrom("new_msg", p)
	case "quit":
		return trunkline.OK(nil), trunkline.Normal
	default:
		return trunkline.Fail(map[string]string{"reason": "unknown event " + event}), nil
	}
}

// A channel with joins, replies of both kinds, a broadcast, and a stop.
func ExampleChannel() {
	url, stop := run("room:*", func() trunkline.Channel { return &room{} })
	defer stop()
	bob := connect(url, "bob")
	defer bob.close()
	bob.join("room:lobby")

	alice := connect(url, "alice")
	defer alice.close()
	for _, frame := range []string{
		`["1","1","room:private","phx_join",{}]`,
		`["2","2","room:lobby","phx_join",{}]`,
		`["2","3","room:lobby","new_msg",{"body":"hello"}]`,
		`["2","4","room:lobby","dance",{}]`,
		`["2","5","room:lobby","quit",{}]`,
	} {
		alice.send(frame)
		fmt.Println(alice.receive())
	}
	fmt.Println(alice.receive())
	fmt.Println("bob:", bob.receive())
	// Output:
	// ["1","1","room:private","phx_reply",{"response":{"reason":"unauthorized"},"status":"error"}]
	// ["2","2","room:lobby","phx_reply",{"response":{"welcome":"alice"},"status":"ok"}]
	// ["2","3","room:lobby","phx_reply",{"response":{"yours":1},"status":"ok"}]
	// ["2","4","room:lobby","phx_reply",{"response":{"reason":"unknown event dance"},"status":"error"}]
	// ["2","5","room:lobby","phx_reply",{"response":{},"status":"ok"}]
	// ["2","2","room:lobby","phx_close",{}]
	// bob: [null,null,"room:lobby","new_msg",{"body":"hello"}]
}
