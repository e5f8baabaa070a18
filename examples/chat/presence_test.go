package chat

import (
	"context"
	"strings"
	"testing"
	"time"
)

func anybody(_ context.Context, token string) (userID string, err error) { return token, nil }

func TestPresenceOfTabs(t *testing.T) {
	t.Parallel()
	address := serve(t, Options{Verify: anybody})
	began := time.Now().Unix()
	ann := openTab(t, address, "ann")
	ann.enter(lobby, `{"device":"phone"}`)
	alone := ann.metas("ann")
	if len(alone) != 1 || len(ann.presences) != 1 {
		t.Fatalf("ann sees %+v when she enters", ann.presences)
	}
	if m := alone[0]; m.Device != "phone" || m.Name != "ann" || m.Typing || m.OnlineAt < began || m.OnlineAt > time.Now().Unix() || m.Ref == "" {
		t.Errorf("ann sees of herself %+v", m)
	}

	bob := openTab(t, address, "bob")
	bob.enter(lobby, `{}`)
	bob.sees("ann", tabs(1))
	ann.sees("bob", tabs(1))
	second := openTab(t, address, "bob")
	second.enter(lobby, `{"device":"computer"}`)
	ann.sees("bob", tabs(2))
	second.close()
	if left := ann.sees("bob", tabs(1)); left[0].Device != "" {
		t.Errorf("the tab that stays is %+v", left[0])
	}
	bob.close()
	ann.sees("bob", tabs(0))

	// One who is not let in is not shown.
	if status, _ := openTab(t, address, "eve").join(privatePrefix+"1", `{"password":"guess"}`); status != "error" {
		t.Errorf("eve got in: %s", status)
	}
	den := openTab(t, address, "ann")
	den.enter(privatePrefix+"1", `{"password":"secret"}`)
	if len(den.presences) != 1 || len(den.metas("ann")) != 1 {
		t.Errorf("in the den are %v", den.presences)
	}
}

func tabs(n int) func([]meta) bool { return func(metas []meta) bool { return len(metas) == n } }

func TestPresenceShowsTyping(t *testing.T) {
	t.Parallel()
	address := serve(t, Options{Verify: anybody})
	ann, bob := openTab(t, address, "ann"), openTab(t, address, "bob")
	ann.enter(lobby, `{}`)
	bob.enter(lobby, `{}`)
	shown := func(typing bool) meta {
		t.Helper()
		return bob.sees("ann", func(metas []meta) bool { return len(metas) == 1 && metas[0].Typing == typing })[0]
	}
	idle := shown(false)
	for name, end := range map[string]func(){
		"told":    func() { ann.push(lobby, "typing", `{"typing":false}`) },
		"message": func() { ann.push(lobby, "new_msg", `{"body":"Hello"}`) },
		"refused": func() { ann.push(lobby, "new_msg", `{"body":""}`) },
		"silence": func() {},
	} {
		ann.push(lobby, "typing", `{}`)
		typing := shown(true)
		if typing.Prev != idle.Ref || typing.OnlineAt != idle.OnlineAt {
			t.Errorf("%s: %+v does not follow %+v", name, typing, idle)
		}
		end()
		idle = shown(false)
	}

	// The event goes on with the typing, and is not sent for its end.
	ann.push(lobby, "typing", `{"typing":false}`)
	ann.push(lobby, "typing", `{"typing":true}`)
	ann.push(lobby, "new_msg", `{"body":"That is all."}`)
	var events []string
	for len(events) == 0 || events[len(events)-1] != "new_msg" {
		event, payload := bob.next()
		if event == "presence_diff" {
			continue
		}
		if event == "typing" && string(payload) != `{"user_id":"ann"}` {
			t.Errorf("typing: %s", payload)
		}
		events = append(events, event)
	}
	if got := strings.Join(events, " "); got != "typing new_msg" {
		t.Errorf("bob got %s, want typing new_msg", got)
	}
}

// A timer may have sent its message before it was stopped.
func TestLateTimerDoesNotEndTyping(t *testing.T) {
	t.Parallel()
	r := &room{presence: presence{Typing: true}, typingEvents: 2}
	if err := r.HandleInfo(t.Context(), nil, typingOver{event: 1}); err != nil || !r.presence.Typing || r.typingEvents != 2 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestPresenceInputIsChecked(t *testing.T) {
	t.Parallel()
	address := serve(t, Options{Verify: anybody})
	const refused = `{"errors":{"device":["should be a string of at most 40 byte(s)"]}}`
	for _, c := range []struct{ params, status, response string }{
		{`{"device":7}`, "error", refused},
		{`{"device":"` + strings.Repeat("x", maxDevice+1) + `"}`, "error", refused},
		{`["device"]`, "error", refused},
		{`{"device":"` + strings.Repeat("x", maxDevice) + `"}`, "ok", ""},
		{`{"device":null}`, "ok", ""},
	} {
		status, response := openTab(t, address, "ann").join(lobby, c.params)
		if status != c.status || c.response != "" && response != c.response {
			t.Errorf("%s: %s %s, want %s %s", c.params, status, response, c.status, c.response)
		}
	}
	ann := openTab(t, address, "ann")
	ann.enter(lobby, `{}`)
	for _, payload := range []string{`{"typing":1}`, `[]`} {
		ann.push(lobby, "typing", payload)
		if status, response := ann.reply(); status != "error" || response != `{"errors":{"typing":["is invalid"]}}` {
			t.Errorf("typing %s: %s %s", payload, status, response)
		}
	}
}
