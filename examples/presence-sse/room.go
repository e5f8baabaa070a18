package main

import (
	"context"
	"encoding/json"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/trunkline/trunkline"
)

// room is this process's list of who is in a topic. All pages share it.
type room struct {
	srv      *trunkline.Server
	topic    string
	unfollow func()

	mu      sync.Mutex
	list    trunkline.Presences
	changed chan struct{} // closed, and replaced, by each change
}

// follow keeps a list by merging what each presence_diff says. What the list
// has already when a diff arrives does no harm.
func follow(srv *trunkline.Server, topic string) *room {
	r := &room{srv: srv, topic: topic, changed: make(chan struct{})}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unfollow = srv.Subscribe(topic, r.merge)
	r.list = srv.Presences(context.Background(), topic)
	return r
}

func (r *room) merge(m *trunkline.Message) {
	var diff trunkline.PresenceDiff
	if m.Event != "presence_diff" {
		return
	}
	if err := m.Payload.Decode(&diff); err != nil {
		slog.Error("presence_diff", "topic", m.Topic, "error", err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list.Apply(diff)
	close(r.changed)
	r.changed = make(chan struct{})
}

// people renders the list, and returns what tells that it is out of date.
func (r *room) people() (template.HTML, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	if err := views.ExecuteTemplate(&b, "people", r.list); err != nil {
		slog.Error("people", "error", err)
	}
	return template.HTML(b.String()), r.changed
}

func (r *room) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", r.page)
	mux.HandleFunc("GET /events", r.events)
	return mux
}

func (r *room) page(w http.ResponseWriter, req *http.Request) {
	people, _ := r.people()
	err := views.ExecuteTemplate(w, "page", map[string]any{"Name": name(req), "People": people})
	if err != nil {
		slog.Error("page", "error", err)
	}
}

// events is one open page: in the room while the request lasts. Each event is
// the list, rendered, as a JSON string, so that it is one line.
func (r *room) events(w http.ResponseWriter, req *http.Request) {
	page := r.srv.NewTracked()
	defer page.Close()
	if _, err := page.Track(r.topic, name(req), map[string]any{"online_at": time.Now().Unix()}); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	response := http.NewResponseController(w)
	alive := time.NewTicker(15 * time.Second) // notices who went without a word
	defer alive.Stop()
	for {
		people, changed := r.people()
		data, err := json.Marshal(people)
		if err != nil {
			return
		}
		_ = response.SetWriteDeadline(time.Now().Add(10 * time.Second))
		if _, err := fmt.Fprintf(w, "data: %s\n\n", data); err != nil || response.Flush() != nil {
			return
		}
		select {
		case <-req.Context().Done():
			return
		case <-changed:
		case <-alive.C:
		}
	}
}

func name(req *http.Request) string {
	if name := strings.TrimSpace(req.FormValue("name")); name != "" {
		return name
	}
	return "somebody"
}

var views = template.Must(template.New("page").Parse(`<!doctype html>
<meta charset="utf-8">
<title>Who is in the lobby</title>
<form>You are <input name="name" value="{{.Name}}" maxlength="40"> <button>Change</button></form>
<div id="people">{{.People}}</div>
<script>
  new EventSource("/events?name=" + encodeURIComponent({{.Name}})).onmessage = (e) => {
    document.getElementById("people").innerHTML = JSON.parse(e.data);
  };
</script>
{{define "people"}}<ul>{{range $name, $entry := .}}
<li>{{$name}}{{with $entry.Metas}}{{if gt (len .) 1}} ({{len .}} pages){{end}}{{end}}</li>{{end}}
</ul>{{end}}`))
