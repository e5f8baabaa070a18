package trunkline_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/trunkline/trunkline"
)

// lounge shows its members to each other.
type lounge struct{ user string }

type joined struct{}

func (l *lounge) Join(_ context.Context, s *trunkline.Socket, _ trunkline.Payload) (any, error) {
	l.user = s.Assigns().(string)
	return nil, s.Send(joined{}) // Join itself cannot track: nobody has joined yet
}

func (l *lounge) HandleInfo(ctx context.Context, s *trunkline.Socket, _ any) error {
	if _, err := s.Track(l.user, map[string]string{"device": "phone"}); err != nil {
		return err
	}
	return s.Push("presence_state", s.PresenceState(ctx))
}

// A channel that tracks its user, and a client that keeps the list from
// presence_state and presence_diff, as Presence of phoenix.js does.
func ExampleSocket_Track() {
	url, stop := run("lounge:*", func() trunkline.Channel { return &lounge{} })
	defer stop()
	alice := connect(url, "alice")
	defer alice.close()
	alice.join("lounge:main")

	present := trunkline.Presences{}
	waitFor := func(users int) {
		for len(present) != users {
			switch event, payload := alice.next(); event {
			case "presence_state":
				present = trunkline.Presences{}
				if err := json.Unmarshal(payload, &present); err != nil {
					fmt.Println(err)
				}
			case "presence_diff":
				var diff trunkline.PresenceDiff
				if err := json.Unmarshal(payload, &diff); err != nil {
					fmt.Println(err)
				}
				present.Apply(diff)
			}
		}
		fmt.Println(slices.Sorted(maps.Keys(present)))
	}
	waitFor(1)
	bob := connect(url, "bob")
	bob.join("lounge:main")
	waitFor(2)
	bob.close()
	waitFor(1)
	// Output:
	// [alice]
	// [alice bob]
	// [alice]
}
