package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// startFake answers each push with the frames that answer gives: %s is its ref.
func startFake(t *testing.T, answer map[string][]string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer ws.CloseNow() //nolint:errcheck // it may have ended
		for {
			_, data, err := ws.Read(t.Context())
			if err != nil {
				return
			}
			var joinRef, ref, topic, event string
			if err := json.Unmarshal(data, &[]any{&joinRef, &ref, &topic, &event}); err != nil {
				t.Error(err)
				return
			}
			frames := answer[event]
			if event == "phx_join" {
				frames = []string{`["%s","%[1]s","t","phx_reply",{"status":"ok","response":{}}]`}
			}
			for _, frame := range frames {
				if strings.Contains(frame, "%s") {
					frame = fmt.Sprintf(frame, ref)
				}
				if err := ws.Write(t.Context(), websocket.MessageText, []byte(frame)); err != nil {
					return
				}
			}
		}
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

const (
	fakeReply = `["1","%s","t","phx_reply",{"status":"ok","response":{"text":"hi"}}]`
	fakeLater = `["1",null,"t","job_reply",{"key":"k","status":"ok","response":{"text":"hi"}}]`
	fakeOther = `["1",null,"t","job_reply",{"key":"other","status":"ok","response":{"text":"hi"}}]`
	fakeRef   = `["1","77","t","phx_reply",{"status":"ok","response":{"text":"hi"}}]`
	fakeLast  = `["1",null,"t","last",{}]`
)

// What a server says too often, or to the wrong one, reaches the judge.
func TestSocketFiltersNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		frames []string
		want   []string
	}{
		{"by ref", []string{fakeReply}, nil},
		{"by event", []string{fakeLater}, nil},
		{"not at all", nil, []string{kindMissing}},
		{"by ref, twice", []string{fakeReply, fakeReply}, []string{kindDouble}},
		{"by ref and by event", []string{fakeReply, fakeLater}, []string{kindDouble}},
		{"by event, twice", []string{fakeLater, fakeLater}, []string{kindDouble}},
		{"another key", []string{fakeReply, fakeOther}, []string{kindStray}},
		{"another ref", []string{fakeReply, fakeRef}, []string{kindStray}},
		{"nonsense", []string{fakeReply, `{}`}, []string{kindStray}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			address := startFake(t, map[string][]string{"echo": append(c.frames, fakeLast)})
			last := make(chan struct{})
			u := newUser("ann")
			s, err := dial(t.Context(), address, u, func(m message, _ time.Time) {
				if m.Event == "last" {
					close(last)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			if _, err := s.join(t.Context(), "t", object{}); err != nil {
				t.Fatal(err)
			}
			p, err := s.ask(t.Context(), "t", "echo", object{"key": "k"})
			if err != nil {
				t.Fatal(err)
			}
			<-last
			var j judge
			j.answers("phase", []*push{p}, echoed("hi"))
			j.strays("phase", u)
			wantKinds(t, &j, c.want...)
		})
	}
}

// What phoenix.js was told counts as what the sockets here were told.
func TestPhoenixReport(t *testing.T) {
	t.Parallel()
	var r phoenixReport
	err := json.Unmarshal([]byte(`{"joins": [1, 2], "answers": [
		{"event": "job_reply", "key": "k", "status": "ok", "response": {"steps": 5}, "at": 1790000000000},
		{"event": "phx_reply", "key": "k", "status": "ok", "response": {"steps": 5}, "at": 1790000000001},
		{"event": "job_reply", "key": "other", "status": "ok", "response": {}, "at": 1790000000002}]}`), &r)
	if err != nil {
		t.Fatal(err)
	}
	u, p := newUser("browser"), newPush("report", "k")
	u.asked(p)
	r.record(u)
	var j judge
	j.answers("phase", []*push{p}, reported)
	j.strays("phase", u)
	wantKinds(t, &j, kindDouble, kindWrong, kindStray)
	if at := p.all()[0].at; !at.Equal(time.UnixMilli(1790000000000)) {
		t.Errorf("at %v", at)
	}
}

// The receiver takes nothing that is not signed, and does as its script says.
func TestReceiver(t *testing.T) {
	t.Parallel()
	r, err := newReceiver()
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	r.scripts["well"] = []reaction{{status: 503}, {status: 302}, {status: 200}}
	const body = `{"type": "order.shipped", "data": {"event": "e"}}`
	client := &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{DisableKeepAlives: true},
	}
	post := func(signed bool) int {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+r.host(false)+"/well", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		signature, err := r.verifier.Sign("msg_1", now, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if !signed {
			signature += "A"
		}
		request.Header.Set("webhook-id", "msg_1")
		request.Header.Set("webhook-timestamp", fmt.Sprint(now.Unix()))
		request.Header.Set("webhook-signature", signature)
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	for i, want := range []int{503, 302, 200, 200} {
		if got := post(true); got != want {
			t.Errorf("attempt %d: %d, want %d", i+1, got, want)
		}
	}
	if len(r.allComplaints()) != 0 || len(r.deliveriesTo("e")) != 4 {
		t.Errorf("%d deliveries, complaints: %v", len(r.deliveriesTo("e")), r.allComplaints())
	}
	if got := post(false); got != 400 || len(r.allComplaints()) != 1 {
		t.Errorf("not signed: %d, %v", got, r.allComplaints())
	}
}
