package trunkline_test

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/trunkline/trunkline"
)

// feed lets everybody read.
type feed struct{}

func (feed) Join(context.Context, *trunkline.Socket, trunkline.Payload) (any, error) { return nil, nil }

// A topic whose messages are stored: the reply to a join with last_seen_id holds
// what the client missed, and what is published later follows.
func ExampleServer_Durable() {
	databaseURL, drop := database()
	defer drop()
	srv := newServer(databaseURL)
	srv.Durable("feed:*", trunkline.HistoryOptions{Last: 10})
	srv.Channel("feed:*", func() trunkline.Channel { return feed{} })
	url, stop := start(srv)
	defer stop()

	publish := func(title string) {
		id, err := srv.Publish(context.Background(), "feed:news", "article", map[string]string{"title": title})
		fmt.Println("stored as", id, err)
	}
	publish("one")
	publish("two")
	publish("three")

	alice := connect(url, "alice")
	defer alice.close()
	alice.send(`["1","1","feed:news","phx_join",{"last_seen_id":1}]`)
	_, payload := alice.next()
	var reply struct {
		Response struct {
			Messages []struct{ Payload json.RawMessage }
			LastID   int64 `json:"last_id"`
		}
	}
	if err := json.Unmarshal(payload, &reply); err != nil {
		fmt.Println(err)
	}
	for _, m := range reply.Response.Messages {
		fmt.Println("missed", string(m.Payload))
	}
	fmt.Println("last_id", reply.Response.LastID)

	publish("four")
	event, payload := alice.next()
	fmt.Println(event, string(payload))
	// Output:
	// stored as 1 <nil>
	// stored as 2 <nil>
	// stored as 3 <nil>
	// missed {"id":2,"title":"two"}
	// missed {"id":3,"title":"three"}
	// last_id 3
	// stored as 4 <nil>
	// article {"id":4,"title":"four"}
}
