package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"github.com/trunkline/trunkline/test/harness"
)

// A fakeServer answers the messages of a client as a test says: each with
// frames, nil to end the connection.
type fakeServer struct {
	address string

	mu     sync.Mutex
	joins  []object // the params of joins so far
	answer func(connection int, m message) []string
}

// startFake counts connections from 0.
func startFake(t *testing.T, answer func(connection int, m message) []string) *fakeServer {
	t.Helper()
	f := &fakeServer{answer: answer}
	connections := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		number := connections
		connections++
		f.mu.Unlock()
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer ws.CloseNow() //nolint:errcheck // it may have ended
		f.serve(t, number, ws)
	}))
	t.Cleanup(server.Close)
	f.address = strings.TrimPrefix(server.URL, "http://")
	return f
}

func (f *fakeServer) serve(t *testing.T, number int, ws *websocket.Conn) {
	for {
		_, data, err := ws.Read(t.Context())
		if err != nil {
			return
		}
		m, err := harness.DecodeFrame(data)
		if err != nil {
			t.Error(err)
			return
		}
		f.mu.Lock()
		if m.Event == "phx_join" {
			var params object
			if err := json.Unmarshal(m.Payload, &params); err != nil {
				t.Error(err)
			}
			f.joins = append(f.joins, params)
		}
		frames := []string{replyTo(m, "ok", `{}`)}
		if m.Topic != heartbeatTopic {
			frames = f.answer(number, m)
		}
		f.mu.Unlock()
		if frames == nil {
			return
		}
		for _, frame := range frames {
			if err := ws.Write(t.Context(), websocket.MessageText, []byte(frame)); err != nil {
				return
			}
		}
	}
}

func (f *fakeServer) cluster() *cluster {
	return &cluster{anyAddress: func() string { return f.address }, token: "token"}
}

func (f *fakeServer) joined() []object {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.joins
}

func replyTo(m message, status, response string) string {
	return fmt.Sprintf(`["%s","%s",%q,"phx_reply",{"status":%q,"response":%s}]`, m.Ref, m.Ref, m.Topic, status, response)
}

func eventOn(topic, event, payload string) string {
	return fmt.Sprintf(`[null,null,%q,%q,%s]`, topic, event, payload)
}

// stored is the payload of the nth message as the fake server delivers it.
func stored(id int) string { return fmt.Sprintf(`{"body":"m-%d text","id":%d}`, id, id) }

// page is a join's response with these messages.
func page(lastID int, more bool, ids ...int) string {
	var messages []string
	for _, id := range ids {
		messages = append(messages, fmt.Sprintf(`{"id":%d,"event":"new_msg","payload":%s,"inserted_at":"2026-01-02T03:04:05Z"}`, id, stored(id)))
	}
	return fmt.Sprintf(`{"messages":[%s],"last_id":%d,"more":%v,"epoch":"e"}`, strings.Join(messages, ","), lastID, more)
}
