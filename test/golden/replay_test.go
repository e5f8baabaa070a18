package golden

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const playTimeout = 2 * time.Minute

// playAgainst replays c against a tape of steps.
func playAgainst(ctx context.Context, c Case, steps []Step) error {
	ctx, cancel := context.WithTimeout(ctx, playTimeout)
	defer cancel()
	p := newTape()
	playCtx, stop := context.WithCancel(ctx)
	played := make(chan error, 1)
	go func() { played <- p.play(playCtx, steps) }()
	err := new(Replayer).Replay(ctx, c, p.target())
	if err != nil {
		stop()
	}
	playErr := <-played
	stop()
	closeErr := p.close()
	if err == nil {
		err = errors.Join(playErr, closeErr)
	}
	return err
}

func allCases(t *testing.T) []Case {
	t.Helper()
	cases, err := Cases()
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) < 90 {
		t.Fatalf("only %d transcripts", len(cases))
	}
	return cases
}

// A server that does exactly what was recorded passes every case, in each of
// its outcomes.
func TestRecordedServerPasses(t *testing.T) {
	t.Parallel()
	for _, c := range allCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			for i, outcome := range c.outcomes() {
				synctest.Test(t, func(t *testing.T) {
					if err := playAgainst(t.Context(), c, outcome.Steps); err != nil {
						t.Errorf("outcome %d: %v", i, err)
					}
				})
			}
		})
	}
}

// A server that differs from the recording in one place fails, for every
// place in which it can differ.
func TestDifferentServerFails(t *testing.T) {
	t.Parallel()
	tried := map[string]int{}
	for _, c := range allCases(t) {
		c.Racy, c.OtherOutcomes = false, nil
		var all []mutation
		for i := range c.Steps {
			all = append(all, mutations(c.Steps, i)...)
		}
		for _, m := range all {
			tried[m.name]++
		}
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			for _, m := range all {
				synctest.Test(t, func(t *testing.T) { checkFails(t, c, m) })
			}
		})
	}
	for _, name := range []string{
		"frame altered", "frame missing", "frame moved", "extra frame", "field missing",
		"another close code", "closed", "not cut", "another status", "another body", "header missing", "late answer", "message missing",
	} {
		if tried[name] == 0 {
			t.Errorf("no transcript has a place for %q", name)
		}
	}
}

func checkFails(t *testing.T, c Case, m mutation) {
	err := playAgainst(t.Context(), c, m.steps)
	var at *StepError
	if !errors.As(err, &at) {
		t.Errorf("step %d %s: no step failed: %v", m.step, m.name, err)
	} else if at.Step < m.step && m.name != "not cut" { // a close frame shows in the silence before
		t.Errorf("step %d %s: an earlier step failed: %v", m.step, m.name, err)
	}
}

// The rest of what a poll was expected to bring may come with the next one.
func TestPollMayBringMessagesInParts(t *testing.T) {
	t.Parallel()
	split := 0
	for _, c := range allCases(t) {
		for i, s := range c.Steps {
			if s.Op != "http" || withoutLastMessage(s.Response.Body) == s.Response.Body {
				continue
			}
			split++
			short, rest := *s.Response, *s.Response
			short.Body = withoutLastMessage(short.Body)
			rest.Body = `{"messages":[` + rest.Body[len(short.Body)-len(`],"status":200,"token":"$lp_token"}`)+1:]
			first, second := s, s
			first.Response, second.Response = &short, &rest
			steps := slices.Concat(c.Steps[:i], []Step{first, second}, c.Steps[i+1:])
			synctest.Test(t, func(t *testing.T) {
				if err := playAgainst(t.Context(), c, steps); err != nil {
					t.Error(err)
				}
			})
		}
	}
	if split == 0 {
		t.Error("no transcript has a poll with several messages")
	}
}

type mutation struct {
	name  string
	step  int // from 1
	steps []Step
}

// mutations returns the ways in which a server may get the step at i wrong
// that a client is bound to notice.
func mutations(steps []Step, i int) []mutation {
	var found []mutation
	add := func(name string, replacement ...Step) {
		found = append(found, mutation{name, i + 1, slices.Concat(steps[:i], replacement, steps[i+1:])})
	}
	s := steps[i]
	switch s.Op {
	case "recv":
		add("frame missing")
		if s.Hex != nil {
			add("frame altered", withHex(s, *s.Hex+"00"))
			break
		}
		add("frame altered", withText(s, replaceOnce(*s.Text, `phoenix`, `room`, `nope`, `phx_`)))
		if text := strings.Replace(*s.Text, `,"status":"ok"`, ``, 1); text != *s.Text {
			add("field missing", withText(s, text))
		}
		if i+1 < len(steps) && steps[i+1].Op == "recv" && steps[i+1].Conn == s.Conn &&
			!strings.Contains(*s.Text, "presence_") && steps[i+1].Text != nil && *steps[i+1].Text != *s.Text {
			found = append(found, mutation{"frame moved", i + 1, slices.Concat(steps[:i], []Step{steps[i+1], s}, steps[i+2:])})
		}
	case "quiet":
		if i > 0 && !closedBefore(steps[:i], s.Conn) {
			text := `[null,null,"room:lobby","unexpected",{}]`
			add("extra frame", Step{Op: "recv", Conn: s.Conn, Text: &text}, s)
			if !speaksNext(steps[i+1:], s.Conn) {
				add("closed", Step{Op: "closed", Conn: s.Conn, Code: 1011})
			}
		}
	case "closed":
		if s.Code == codeCut {
			s.Code = 1012
			add("not cut", s)
		} else if !closingBefore(steps[:i], s.Conn) {
			s.Code++
			add("another close code", s)
		}
	case "http", "connect":
		answer := s.Response
		if s.Op == "connect" {
			answer = s.Result
		}
		changed := *answer
		with := func(name string) {
			answered := changed
			step := s
			if s.Op == "connect" {
				step.Result = &answered
			} else {
				step.Response = &answered
			}
			add(name, step)
			changed = *answer
		}
		if answer.Status != 101 {
			changed.Status = 418
			with("another status")
		}
		if answer.Status != 101 && s.Method != "HEAD" && answer.Headers["content-length"] == "" {
			changed.Body += " more"
			with("another body")
		}
		if body := withoutLastMessage(answer.Body); body != answer.Body {
			changed.Body = body
			with("message missing")
		}
		if answer.Headers["access-control-allow-origin"] != "" {
			changed.Headers = nil
			with("header missing")
		}
		if answer.Headers["content-length"] == "" && answer.Status != 101 && s.Overlaps == 0 {
			step := s
			step.TookMS += 1700
			add("late answer", step)
		}
	}
	return found
}

// withoutLastMessage shortens the answer to a poll that has several messages.
func withoutLastMessage(body string) string {
	start, end := strings.LastIndex(body, `]","`), strings.Index(body, `"],"status"`)
	if start < 0 || end < start {
		return body
	}
	return body[:start+1] + body[end:]
}

func withText(s Step, text string) Step { s.Text = &text; return s }
func withHex(s Step, hex string) Step   { s.Hex = &hex; return s }

func replaceOnce(text string, words ...string) string {
	for _, word := range words {
		if replaced := strings.Replace(text, word, "other", 1); replaced != text {
			return replaced
		}
	}
	panic(fmt.Sprintf("nothing to alter in %s", text))
}

// closedBefore reports whether the connection ended before.
func closedBefore(steps []Step, conn string) bool {
	return slices.ContainsFunc(steps, func(s Step) bool { return s.Conn == conn && s.Op == "closed" }) ||
		closingBefore(steps, conn)
}

// closingBefore reports whether the client itself ended the connection.
func closingBefore(steps []Step, conn string) bool {
	return slices.ContainsFunc(steps, func(s Step) bool {
		return s.Conn == conn && (s.Op == "close" || s.Op == "drop_tcp")
	})
}
