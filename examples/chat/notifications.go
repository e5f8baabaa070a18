package chat

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/trunkline/trunkline"
)

const (
	notificationsPrefix = "notifications:"
	maxLevels           = 20
	maxLevelBytes       = 40
)

// notifications is one user's private topic. Whoever may broadcast to it, a job
// or `trunkline broadcast`, need not know which levels the user wants.
type notifications struct{ levels []string }

type levels struct {
	Levels []string `json:"levels"`
}

// Join is for the topic's own user. Without levels nothing is pushed until
// subscribe_levels.
func (n *notifications) Join(_ context.Context, s *trunkline.Socket, params trunkline.Payload) (any, error) {
	if strings.TrimPrefix(s.Topic(), notificationsPrefix) != userOf(s).id {
		return nil, trunkline.Reject(reason{"unauthorized"})
	}
	if problem := n.subscribe(params); problem != "" {
		return nil, trunkline.Reject(fieldError("levels", problem))
	}
	return levels{n.levels}, nil
}

// Intercepts names the event that HandleOut filters.
func (n *notifications) Intercepts() []string { return []string{"notification"} }

// HandleOut pushes a notification of a level that the user subscribed to.
func (n *notifications) HandleOut(_ context.Context, s *trunkline.Socket, event string, p trunkline.Payload) error {
	var in struct {
		Level string `json:"level"`
	}
	if p.Decode(&in) != nil || !slices.Contains(n.levels, in.Level) {
		return nil
	}
	return s.Push(event, p)
}

// HandleIn changes the levels.
func (n *notifications) HandleIn(_ context.Context, _ *trunkline.Socket, event string, p trunkline.Payload) (trunkline.Reply, error) {
	if event != "subscribe_levels" {
		return trunkline.Fail(reason{"unknown event"}), nil
	}
	if problem := n.subscribe(p); problem != "" {
		return trunkline.Fail(fieldError("levels", problem)), nil
	}
	return trunkline.OK(levels{n.levels}), nil
}

// subscribe replaces the levels, or leaves them and says what is wrong.
func (n *notifications) subscribe(p trunkline.Payload) (problem string) {
	var in levels
	if p.Decode(&in) != nil {
		return "must be a list of strings"
	}
	if len(in.Levels) > maxLevels {
		return fmt.Sprintf("should have at most %d item(s)", maxLevels)
	}
	for _, level := range in.Levels {
		if level == "" || len(level) > maxLevelBytes {
			return fmt.Sprintf("each should be 1 to %d byte(s)", maxLevelBytes)
		}
	}
	if in.Levels == nil {
		in.Levels = []string{} // [] on the wire, not null
	}
	n.levels = in.Levels
	return ""
}
