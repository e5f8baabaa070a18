package golden

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"
)

// recv compares the next frame of a connection. Where presence frames follow
// each other it takes all of them at once; taken is their number, or on an
// error the number of those before the one that is at fault.
func (run *run) recv(ctx context.Context, at int) (taken int, err error) {
	s := run.steps[at]
	socket, err := run.socket(s)
	if err != nil {
		return 0, err
	}
	if group, err := run.presenceGroup(at); err != nil || len(group) > 0 {
		if err != nil {
			return 0, err
		}
		return run.recvPresence(ctx, socket, group)
	}
	got, ok := socket.next(ctx, run.target.RecvTimeout)
	if !ok {
		return 0, fmt.Errorf("expected %s, got nothing within %s", run.expected(s), run.target.RecvTimeout)
	}
	scratch := run.bindings.clone()
	if err := matchFrame(s, got, scratch); err != nil {
		socket.unread(got)
		return 0, fmt.Errorf("expected %s, got %s: %w", run.expected(s), got, err)
	}
	run.bindings = scratch
	return 1, nil
}

func (run *run) expected(s Step) string {
	if s.Hex != nil {
		return "binary " + *s.Hex
	}
	return "text " + excerpt([]byte(*s.Text))
}

func matchFrame(s Step, got event, b *bindings) error {
	if s.Hex != nil {
		want, err := hex.DecodeString(*s.Hex)
		if err != nil {
			return fmt.Errorf("hex of the step: %w", err)
		}
		if got.kind != eventBinary || string(got.data) != string(want) {
			return fmt.Errorf("another frame")
		}
		return nil
	}
	if got.kind != eventText {
		return fmt.Errorf("not a text frame")
	}
	want, err := parseRecorded([]byte(expandRepeated(*s.Text)))
	if err != nil {
		return fmt.Errorf("text of the step: %w", err)
	}
	received, err := parseReceived(got.data)
	if err != nil {
		return err
	}
	return matchJSON(want, received, b)
}

func (run *run) recvPong(ctx context.Context, s Step) error {
	socket, err := run.socket(s)
	if err != nil {
		return err
	}
	got, ok := socket.next(ctx, run.target.RecvTimeout)
	if !ok {
		return fmt.Errorf("expected pong %s, got nothing within %s", *s.Hex, run.target.RecvTimeout)
	}
	if got.kind != eventPong || hex.EncodeToString(got.data) != *s.Hex {
		socket.unread(got)
		return fmt.Errorf("expected pong %s, got %s", *s.Hex, got)
	}
	return nil
}

// quiet checks that nothing comes for a while. A connection that the recording
// saw cut next may be cut already.
func (run *run) quiet(ctx context.Context, at int) error {
	s := run.steps[at]
	socket, err := run.socket(s)
	if err != nil {
		return err
	}
	until := time.Now().Add(milliseconds(s.MS))
	got, ok := socket.next(ctx, milliseconds(s.MS))
	if !ok {
		return ctx.Err()
	}
	socket.unread(got)
	if got.kind == eventCut && run.cutNext(at) {
		return sleep(ctx, time.Until(until))
	}
	return fmt.Errorf("expected nothing for %d ms, got %s", s.MS, got)
}

func (run *run) cutNext(at int) bool {
	for _, s := range run.steps[at+1:] {
		if s.Conn == run.steps[at].Conn {
			return s.Op == "closed" && s.Code == codeCut
		}
	}
	return false
}

func (run *run) closed(ctx context.Context, s Step) error {
	socket, err := run.socket(s)
	if err != nil {
		return err
	}
	want := event{kind: eventClosed, code: s.Code, reason: s.Reason}
	if s.Code == codeCut {
		want = event{kind: eventCut, data: []byte("no close frame")}
	}
	got, ok := socket.next(ctx, closeTimeout)
	if !ok {
		return fmt.Errorf("expected %s, got nothing within %s", want, closeTimeout)
	}
	if got.kind != want.kind || (want.kind == eventClosed && (got.code != want.code || got.reason != want.reason)) {
		socket.unread(got)
		return fmt.Errorf("expected %s, got %s", want, got)
	}
	return nil
}
