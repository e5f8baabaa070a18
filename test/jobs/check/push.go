package main

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"sync"
	"time"
)

// Events that answer.
const (
	eventReply    = "phx_reply"
	eventJobReply = "job_reply"
)

// An answer is what a client was told about one push.
type answer struct {
	at       time.Time
	event    string // eventReply or eventJobReply
	status   string
	response json.RawMessage
}

func (a answer) String() string { return fmt.Sprintf("%s %s %s", a.event, a.status, a.response) }

// equal is whether status and response are the same.
func (a answer) equal(b answer) bool {
	var x, y any
	return a.status == b.status && json.Unmarshal(a.response, &x) == nil && json.Unmarshal(b.response, &y) == nil &&
		reflect.DeepEqual(x, y)
}

// field is a field of the response, nil when there is none.
func (a answer) field(name string) any {
	var fields object
	_ = json.Unmarshal(a.response, &fields) // then nil
	return fields[name]
}

// A push is one message of a client, with all answers to it.
type push struct {
	event, key   string
	acknowledged bool // answered by ref at once, and by an event later
	sent         time.Time

	mu      sync.Mutex
	acks    int
	answers []answer
	first   chan struct{} // closed at the first answer
}

func (p *push) String() string {
	if p.key == "" {
		return p.event
	}
	return fmt.Sprintf("%s with the key %s", p.event, p.key)
}

func (p *push) take(a answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.acknowledged && a.event == eventReply {
		p.acks++
		if p.acks == 1 {
			return
		}
	}
	p.answers = append(p.answers, a)
	if len(p.answers) == 1 {
		close(p.first)
	}
}

func (p *push) all() []answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.answers
}

// await waits for the first answer.
func (p *push) await(ctx context.Context) (answer, error) {
	select {
	case <-p.first:
		return p.all()[0], nil
	case <-ctx.Done():
		return answer{}, fmt.Errorf("no answer to %s: %w", p, ctx.Err())
	}
}

// awaitAll returns when each has an answer, or at the limit: the judge finds
// what is missing.
func awaitAll(ctx context.Context, limit time.Duration, pushes []*push) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for _, p := range pushes {
		if _, err := p.await(ctx); err != nil {
			return
		}
	}
}

// A user is somebody whose connections, one after another or at once, share
// what was asked.
type user struct {
	name string

	mu     sync.Mutex
	byKey  map[string][]*push
	strays []string
}

func newUser(name string) *user { return &user{name: name, byKey: map[string][]*push{}} }

func (u *user) asked(p *push) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if p.key != "" {
		u.byKey[p.key] = append(u.byKey[p.key], p)
	}
}

// takeEvent records an answer by event for the pushes with its key.
func (u *user) takeEvent(payload json.RawMessage, at time.Time) {
	var in struct {
		Key, Status string
		Response    json.RawMessage
	}
	err := json.Unmarshal(payload, &in)
	u.mu.Lock()
	defer u.mu.Unlock()
	if err != nil || len(u.byKey[in.Key]) == 0 {
		u.strays = append(u.strays, string(payload))
		return
	}
	for _, p := range u.byKey[in.Key] {
		p.take(answer{at, eventJobReply, in.Status, in.Response})
	}
}

func (u *user) stray(text string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.strays = append(u.strays, text)
}

func (u *user) allStrays() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.strays
}
