package trunkline_test

import (
	"context"
	"fmt"

	"github.com/trunkline/trunkline"
)

// inbox passes on notifications of its client's language only.
type inbox struct{ language string }

func (i *inbox) Join(_ context.Context, _ *trunkline.Socket, params trunkline.Payload) (any, error) {
	var p struct{ Language string }
	if err := params.Decode(&p); err != nil {
		return nil, trunkline.Reject(map[string]string{"reason": "want a language"})
	}
	i.language = p.Language
	return nil, nil
}

// Intercepts names the broadcasts that go to HandleOut.
func (i *inbox) Intercepts() []string { return []string{"notice"} }

// HandleOut decides for one member; what it does not push is not sent.
func (i *inbox) HandleOut(_ context.Context, s *trunkline.Socket, event string, p trunkline.Payload) error {
	var notice struct{ Language string }
	if err := p.Decode(&notice); err != nil || notice.Language != i.language {
		return err
	}
	return s.Push(event, p)
}

// Broadcasts that are filtered for each member.
func ExampleHandleOuter() {
	databaseURL, drop := database()
	defer drop()
	srv := newServer(databaseURL)
	srv.Channel("news", func() trunkline.Channel { return &inbox{} })
	url, stop := start(srv)
	defer stop()
	alice := connect(url, "alice")
	defer alice.close()
	alice.send(`["1","1","news","phx_join",{"language":"fr"}]`)
	fmt.Println(alice.receive())

	for language, text := range map[string]string{"en": "hello", "fr": "bonjour"} {
		if err := srv.Broadcast("news", "notice", map[string]string{"language": language, "text": text}); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(alice.receive())
	// Output:
	// ["1","1","news","phx_reply",{"response":{},"status":"ok"}]
	// ["1",null,"news","notice",{"language":"fr","text":"bonjour"}]
}
