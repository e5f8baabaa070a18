package golden

import (
	"context"
	"fmt"
	"slices"
)

// presenceFrame is a recorded presence_state or presence_diff.
type presenceFrame struct {
	step    Step
	state   bool
	payload map[string]any
	matched bool
}

// presenceGroup returns the presence frames that one connection receives in a
// row from index at on, if a presence_state is among them. Whether a joiner
// sees it before or after the diffs of that moment is a race in Phoenix.
func (run *run) presenceGroup(at int) ([]presenceFrame, error) {
	var group []presenceFrame
	states := 0
	for _, s := range run.steps[at:] {
		if s.Op != "recv" || s.Conn != run.steps[at].Conn || s.Text == nil {
			break
		}
		decoded, err := parseRecorded([]byte(expandRepeated(*s.Text)))
		if err != nil {
			return nil, fmt.Errorf("text of the step: %w", err)
		}
		event, payload := eventAndPayload(decoded)
		if event != "presence_state" && event != "presence_diff" {
			break
		}
		if event == "presence_state" {
			states++
		}
		group = append(group, presenceFrame{step: s, state: event == "presence_state", payload: payload})
	}
	if states == 0 {
		return nil, nil
	}
	return group, nil
}

// recvPresence reads the frames of a group: diffs in their order, a state
// anywhere among them.
func (run *run) recvPresence(ctx context.Context, socket *socket, group []presenceFrame) (taken int, err error) {
	var read []event
	scratch := run.bindings.clone()
	defer func() {
		if err != nil {
			socket.unread(read...)
			return
		}
		run.bindings = scratch
	}()
	for left := len(group); left > 0; {
		got, ok := socket.next(ctx, run.target.RecvTimeout)
		if !ok {
			missing := firstUnmatched(group)
			return missing, fmt.Errorf("expected %s, got nothing within %s", run.expected(group[missing].step), run.target.RecvTimeout)
		}
		read = append(read, got)
		if taken := takePresence(group, got, scratch); taken != nil {
			scratch = taken
			left--
			continue
		}
		if !toldByState(group, got, scratch) {
			missing := firstUnmatched(group)
			expected := group[missing].step
			return missing, fmt.Errorf("expected %s, got %s: %w", run.expected(expected), got, matchFrame(expected, got, scratch.clone()))
		}
	}
	return len(group), nil
}

func firstUnmatched(group []presenceFrame) int {
	return slices.IndexFunc(group, func(f presenceFrame) bool { return !f.matched })
}

// takePresence marks the frame of the group that got is, and returns the
// bindings that this leads to; nil if it is none.
func takePresence(group []presenceFrame, got event, b *bindings) *bindings {
	diffSeen := false
	for i := range group {
		f := &group[i]
		if f.matched || (!f.state && diffSeen) {
			continue
		}
		diffSeen = diffSeen || !f.state
		scratch := b.clone()
		if matchFrame(f.step, got, scratch) == nil {
			f.matched = true
			return scratch
		}
	}
	return nil
}

// toldByState reports whether got is the diff of somebody who came a moment
// earlier and whom the joiner's presence_state lists already: whether the
// joiner still sees that diff is a race in Phoenix.
func toldByState(group []presenceFrame, got event, b *bindings) bool {
	decoded, err := parseReceived(got.data)
	if got.kind != eventText || err != nil {
		return false
	}
	name, payload := eventAndPayload(decoded)
	joins, _ := payload["joins"].(map[string]any)
	leaves, ok := payload["leaves"].(map[string]any)
	if name != "presence_diff" || len(joins) == 0 || !ok || len(leaves) > 0 {
		return false
	}
	for _, f := range group {
		expected, _ := f.payload["joins"].(map[string]any)
		for key, joined := range joins {
			if _, ok := expected[key]; !f.state && ok {
				return false // the recording has a diff of its own for this key
			}
			if listed, ok := f.payload[key]; f.state && (!ok || matchJSON(listed, joined, b.clone()) != nil) {
				return false
			}
		}
	}
	return true
}

// eventAndPayload takes an event and its payload out of a decoded frame of
// either protocol version.
func eventAndPayload(decoded any) (string, map[string]any) {
	var event, payload any
	switch decoded := decoded.(type) {
	case []any:
		if len(decoded) == 5 {
			event, payload = decoded[3], decoded[4]
		}
	case map[string]any:
		event, payload = decoded["event"], decoded["payload"]
	}
	name, _ := event.(string)
	object, _ := payload.(map[string]any)
	return name, object
}
