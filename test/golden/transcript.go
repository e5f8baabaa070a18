package golden

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

//go:embed testdata/*.json
var recordings embed.FS

// Case is one recorded transcript.
type Case struct {
	Name        string `json:"case"`
	Phoenix     string `json:"phoenix"`
	Description string `json:"description"`
	Runs        int    `json:"runs"`

	// Stability is "stable", "order varies" or "outcome varies".
	Stability string `json:"stability"`

	// Racy says that the outcome varied in some recording of the same thing,
	// in this or in the other protocol version.
	Racy bool `json:"-"`

	Outcome
	OtherOutcomes []Outcome `json:"other_outcomes"`
}

// Outcome is the sequence of steps of one recorded run. A case that races in
// Phoenix has several.
type Outcome struct {
	// Volatile maps values as they stand in the steps to placeholders.
	Volatile map[string]string `json:"volatile"`
	Steps    []Step            `json:"steps"`
}

// Step is one thing that a client did or saw. Op says which fields count.
type Step struct {
	Op   string `json:"op"`
	Conn string `json:"conn"`

	// token
	As               string `json:"as"`
	User             string `json:"user"`
	Salt             string `json:"salt"`
	SignedSecondsAgo int64  `json:"signed_seconds_ago"`

	// connect, http
	Method    string            `json:"method"`
	Path      string            `json:"path"`
	Protocols []string          `json:"protocols"`
	Headers   map[string]string `json:"headers"`
	Body      *string           `json:"body"`
	Result    *Response         `json:"result"`
	Response  *Response         `json:"response"`
	TookMS    int               `json:"took_ms"`
	Overlaps  int               `json:"overlaps"`

	// send, recv, send_ping, recv_pong, send_fragments, note
	Text       *string  `json:"text"`
	Hex        *string  `json:"hex"`
	RawTextHex *string  `json:"raw_text_hex"`
	Parts      []string `json:"parts"`

	// quiet, wait
	MS int `json:"ms"`

	// close, closed
	Code   int    `json:"code"`
	Reason string `json:"reason"`

	// server
	Do      string          `json:"do"`
	Topic   string          `json:"topic"`
	Event   string          `json:"event"`
	Payload json.RawMessage `json:"payload"`
	ID      string          `json:"id"`
}

// Response is an HTTP answer: of a plain request, or of a WebSocket handshake.
type Response struct {
	Status   int               `json:"status"`
	Headers  map[string]string `json:"headers"`
	Body     string            `json:"body"`
	Protocol string            `json:"protocol"`
}

// operations are the values that Step.Op may take.
var operations = []string{
	"token", "connect", "send", "recv", "quiet", "closed", "close", "drop_tcp",
	"send_ping", "recv_pong", "send_fragments", "http", "wait", "server", "note",
}

// Cases returns all embedded transcripts, sorted by name.
func Cases() ([]Case, error) {
	entries, err := fs.ReadDir(recordings, "testdata")
	if err != nil {
		return nil, fmt.Errorf("golden: list transcripts: %w", err)
	}
	var cases []Case
	for _, entry := range entries {
		data, err := recordings.ReadFile(path.Join("testdata", entry.Name()))
		if err != nil {
			return nil, fmt.Errorf("golden: read transcript: %w", err)
		}
		c, err := ParseCase(data)
		if err != nil {
			return nil, fmt.Errorf("golden: transcript %s: %w", entry.Name(), err)
		}
		cases = append(cases, c)
	}
	racy := map[string]bool{}
	for _, c := range cases {
		racy[c.subject()] = racy[c.subject()] || c.Racy
	}
	for i, c := range cases {
		cases[i].Racy = racy[c.subject()]
	}
	slices.SortFunc(cases, func(a, b Case) int { return strings.Compare(a.Name, b.Name) })
	return cases, nil
}

// ParseCase reads one transcript. Unknown fields and operations are errors, so
// that a transcript is never replayed in part.
func ParseCase(data []byte) (Case, error) {
	var c Case
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&c); err != nil {
		return Case{}, fmt.Errorf("decode: %w", err)
	}
	c.Racy = c.Stability != "stable"
	if c.Name == "" || len(c.Steps) == 0 {
		return Case{}, fmt.Errorf("a transcript needs a name and steps")
	}
	for _, outcome := range c.outcomes() {
		for i, step := range outcome.Steps {
			if err := step.check(); err != nil {
				return Case{}, fmt.Errorf("step %d: %w", i+1, err)
			}
		}
	}
	return c, nil
}

func (s Step) check() error {
	missing := func(what string) error { return fmt.Errorf("%s without %s", s.Op, what) }
	if !slices.Contains(operations, s.Op) {
		return fmt.Errorf("unknown op %q", s.Op)
	}
	switch s.Op {
	case "connect", "send", "recv", "quiet", "closed", "close", "drop_tcp",
		"send_ping", "recv_pong", "send_fragments":
		if s.Conn == "" {
			return missing("conn")
		}
	}
	switch {
	case s.Op == "connect" && s.Result == nil:
		return missing("result")
	case s.Op == "http" && s.Response == nil:
		return missing("response")
	case s.Op == "send" && s.Text == nil && s.Hex == nil && s.RawTextHex == nil,
		s.Op == "recv" && s.Text == nil && s.Hex == nil:
		return missing("text or hex")
	case (s.Op == "send_ping" || s.Op == "recv_pong") && s.Hex == nil:
		return missing("hex")
	}
	return nil
}

func (c Case) outcomes() []Outcome {
	return append([]Outcome{c.Outcome}, c.OtherOutcomes...)
}

// subject is the name without the protocol version.
func (c Case) subject() string {
	return strings.TrimSuffix(strings.TrimSuffix(c.Name, ".v1"), ".v2")
}

// Shuts reports whether the case ends the server it runs against.
func (c Case) Shuts() bool {
	return slices.ContainsFunc(c.Steps, func(s Step) bool { return s.Op == "server" && s.Do == "graceful shutdown" })
}

// watches reports whether the case joins the topic on which every ending
// channel is announced.
func (c Case) watches() bool {
	return slices.ContainsFunc(c.Steps, func(s Step) bool {
		return s.Op == "send" && s.Text != nil && strings.Contains(*s.Text, `"room:watch"`)
	})
}
