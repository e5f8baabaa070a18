package golden

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// sessionMount returns the socket path of a request that belongs to a longpoll
// session, and false for any other request.
func sessionMount(s Step) (string, bool) {
	path, query, _ := strings.Cut(s.Path, "?")
	mount, ok := strings.CutSuffix(path, "/longpoll")
	return mount, ok && strings.Contains(query, "$lp_token")
}

// noteSession remembers when the longpoll session of a request ends by itself:
// 1.5 times the poll window of its socket after the last request.
func (run *run) noteSession(request *openRequest) {
	mount, ok := sessionMount(request.step)
	if !ok {
		return
	}
	window := 10 * time.Second
	switch mount {
	case "/fast":
		window = 300 * time.Millisecond
	case "/socket", "/auth":
		window = time.Second
	}
	if end := time.Now().Add(window*3/2 + sessionGrace); end.After(run.replayer.sessionsEnd) {
		run.replayer.sessionsEnd = end
	}
}

// pollRest polls again where a poll brought only the first of the recorded
// messages, and adds what comes to its answer. A poll is answered as soon as
// there is a message; how many there are by then is a matter of timing.
func (run *run) pollRest(ctx context.Context, request *openRequest) error {
	if _, ok := sessionMount(request.step); !ok || request.step.Method != http.MethodGet {
		return nil
	}
	want := decodePoll([]byte(request.step.Response.Body))
	answer := decodePoll(request.got.body)
	deadline := time.Now().Add(run.target.RecvTimeout)
	for answer.Status == http.StatusOK && len(answer.Messages) > 0 && len(answer.Messages) < len(want.Messages) {
		if time.Now().After(deadline) {
			return fmt.Errorf("expected %d messages, got %d within %s", len(want.Messages), len(answer.Messages), run.target.RecvTimeout)
		}
		path := run.bindings.expand(request.step.Path)
		got, err := roundTrip(ctx, run.target.dial, run.target.BaseURL, http.MethodGet, path, plainHeaders(nil, ""), "")
		if err != nil {
			return fmt.Errorf("poll for the other %d messages: %w", len(want.Messages)-len(answer.Messages), err)
		}
		_ = got.conn.Close()
		run.noteSession(request)
		more := decodePoll(got.body)
		if more.Status != http.StatusOK {
			return fmt.Errorf("expected %d messages, got %d and then %s", len(want.Messages), len(answer.Messages), excerpt(got.body))
		}
		answer.Messages = append(answer.Messages, more.Messages...)
		if request.got.body, err = json.Marshal(answer); err != nil {
			return fmt.Errorf("join the answers of polls: %w", err)
		}
	}
	return nil
}

// pollAnswer is the body of an answer to a poll.
type pollAnswer struct {
	Messages []json.RawMessage `json:"messages"`
	Status   int               `json:"status"`
	Token    string            `json:"token"`
}

// decodePoll returns the zero value for anything else.
func decodePoll(body []byte) pollAnswer {
	var answer pollAnswer
	if err := json.Unmarshal(body, &answer); err != nil {
		return pollAnswer{}
	}
	return answer
}

// decodeMessages decodes the frames in the answer to a long poll, each a
// string, where they are JSON.
func decodeMessages(answer any, parse func([]byte) (any, error)) any {
	object, ok := answer.(map[string]any)
	if !ok {
		return answer
	}
	messages, ok := object["messages"].([]any)
	if !ok {
		return answer
	}
	for i, message := range messages {
		if text, ok := message.(string); ok {
			if decoded, err := parse([]byte(text)); err == nil {
				messages[i] = map[string]any{"encoded": decoded}
			}
		}
	}
	return answer
}
