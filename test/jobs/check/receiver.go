package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// A reaction is what the receiver does with one request.
type reaction struct {
	status int
	hang   bool // until the sender gives up
	drop   bool // closes the connection
}

// A delivery is one request that was signed rightly.
type delivery struct {
	id    string // webhook-id
	at    time.Time
	ended time.Time // when it was answered or given up
}

// A receiver is a real HTTP server that checks and notes each request, and
// treats it as its script says.
type receiver struct {
	secret   string
	verifier *standardwebhooks.Webhook
	listener net.Listener
	server   *http.Server
	serving  sync.WaitGroup
	scripts  map[string][]reaction // by endpoint; read only while it serves

	mu         sync.Mutex
	tried      map[string]int         // by webhook-id
	deliveries map[string][]*delivery // by what the event says of itself
	complaints []string
}

// newReceiver listens. Set the scripts before anything is sent to it, and close
// it at the end.
func newReceiver() (*receiver, error) {
	r := &receiver{
		secret:  "whsec_" + base64.StdEncoding.EncodeToString([]byte("the secret of the jobs checker!!")),
		scripts: map[string][]reaction{}, tried: map[string]int{}, deliveries: map[string][]*delivery{},
	}
	var err error
	if r.verifier, err = standardwebhooks.NewWebhook(r.secret); err != nil {
		return nil, err
	}
	if r.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: time.Second}
	r.serving.Go(func() { _ = r.server.Serve(r.listener) }) // until close
	return r, nil
}

// host is its host:port, by a name where an address would be refused at once.
func (r *receiver) host(byName bool) string {
	_, port, _ := net.SplitHostPort(r.listener.Addr().String())
	if byName {
		return net.JoinHostPort("localhost", port)
	}
	return net.JoinHostPort("127.0.0.1", port)
}

// ServeHTTP takes what is posted.
func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	at := time.Now()
	endpoint := strings.TrimPrefix(request.URL.Path, "/")
	body, err := io.ReadAll(io.LimitReader(request.Body, 1<<20))
	if err == nil {
		err = r.verifier.Verify(body, request.Header)
	}
	var event struct {
		Type string
		Data struct{ Event string }
	}
	if err == nil {
		err = json.Unmarshal(body, &event)
	}
	script := r.scripts[endpoint]
	if err != nil || event.Type != "order.shipped" || request.Method != http.MethodPost || len(script) == 0 {
		r.complain("%s %s is not an event as sent: %v", request.Method, request.URL.Path, err)
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	d := &delivery{id: request.Header.Get(standardwebhooks.HeaderWebhookID), at: at}
	defer r.ended(d)
	reaction := script[min(r.take(event.Data.Event, d), len(script)-1)]
	switch {
	case reaction.hang:
		<-request.Context().Done()
	case reaction.drop:
		panic(http.ErrAbortHandler)
	case reaction.status == http.StatusFound: // the receiver complains of whoever follows
		http.Redirect(w, request, "/elsewhere", reaction.status)
	default:
		w.WriteHeader(reaction.status)
	}
}

// take notes a delivery and returns how often the event was tried before.
func (r *receiver) take(event string, d *delivery) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deliveries[event] = append(r.deliveries[event], d)
	r.tried[d.id]++
	return r.tried[d.id] - 1
}

func (r *receiver) ended(d *delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d.ended = time.Now()
}

func (r *receiver) complain(format string, arguments ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.complaints = append(r.complaints, fmt.Sprintf(format, arguments...))
}

func (r *receiver) allComplaints() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.complaints
}

func (r *receiver) deliveriesTo(event string) (all []delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.deliveries[event] {
		all = append(all, *d)
	}
	return all
}

func (r *receiver) requests() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, all := range r.deliveries {
		n += len(all)
	}
	return n
}

func (r *receiver) close() {
	_ = r.server.Close()
	r.serving.Wait()
}
