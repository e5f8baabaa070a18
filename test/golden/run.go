package golden

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const hookTimeout = 5 * time.Second

// run is one try at one case.
type run struct {
	replayer *Replayer
	target   Target
	steps    []Step
	bindings *bindings
	sockets  map[string]*socket
	order    []string // of sockets
	opened   int      // connections so far, refused ones included
	requests []*openRequest
}

func newRun(r *Replayer, target Target, steps []Step) *run {
	return &run{
		replayer: r, target: target, steps: steps,
		bindings: newBindings(), sockets: map[string]*socket{},
	}
}

// end closes what the case left open and lets the server notice.
func (run *run) end(ctx context.Context) error {
	for _, name := range run.order {
		run.sockets[name].shut()
	}
	for _, request := range run.requests {
		request.abandon()
	}
	return sleep(ctx, settle)
}

func (run *run) token(s Step) error {
	salt := s.Salt
	if salt == "" {
		salt = defaultSalt
	}
	signedAt := time.Now().Add(-time.Duration(s.SignedSecondsAgo) * time.Second)
	token, err := mintToken(run.target.Secret, salt, s.User, signedAt)
	if err != nil {
		return err
	}
	run.bindings.bindToken(s.As, token)
	return nil
}

func (run *run) connect(ctx context.Context, s Step) error {
	base := run.target.BaseURL
	if run.opened > 0 && run.target.PeerURL != "" {
		base = run.target.PeerURL
	}
	run.opened++

	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails (crypto/rand)
	key := base64.StdEncoding.EncodeToString(nonce[:])
	headers := map[string]string{
		"connection": "Upgrade", "upgrade": "websocket",
		"sec-websocket-version": "13", "sec-websocket-key": key,
	}
	if len(s.Protocols) > 0 {
		headers["sec-websocket-protocol"] = run.bindings.expand(strings.Join(s.Protocols, ", "))
	}
	for name, value := range s.Headers {
		headers[name] = run.bindings.expand(value)
	}
	exchanged, err := roundTrip(ctx, run.target.dial, base, http.MethodGet, run.bindings.expand(s.Path), headers, "")
	if err != nil {
		return err
	}
	err = run.checkHandshake(*s.Result, exchanged, key)
	if err != nil || exchanged.response.StatusCode != http.StatusSwitchingProtocols {
		_ = exchanged.conn.Close()
		return err
	}
	if old, ok := run.sockets[s.Conn]; ok {
		old.shut()
	} else {
		run.order = append(run.order, s.Conn)
	}
	run.sockets[s.Conn] = newSocket(exchanged.conn, exchanged.reader)
	return nil
}

func (run *run) checkHandshake(want Response, got *exchange, key string) error {
	if err := checkStatus(want.Status, got); err != nil {
		return err
	}
	if err := checkHeaders(want.Headers, got.response.Header); err != nil {
		return err
	}
	if want.Status != http.StatusSwitchingProtocols {
		return matchBody(want.Body, got.body, run.bindings)
	}
	if protocol := got.response.Header.Get("Sec-WebSocket-Protocol"); protocol != want.Protocol {
		return fmt.Errorf("sec-websocket-protocol: expected %q, got %q", want.Protocol, protocol)
	}
	return checkAccept(got.response, key)
}

// act does what a client does without waiting for an answer. On a connection
// that is no longer open it has no effect, as for the recorded client.
func (run *run) act(s Step) error {
	socket, err := run.socket(s)
	if err != nil {
		return err
	}
	switch s.Op {
	case "send":
		f, err := run.message(s)
		if err != nil {
			return err
		}
		socket.write(f)
	case "send_ping":
		payload, err := hex.DecodeString(*s.Hex)
		if err != nil {
			return fmt.Errorf("hex of the step: %w", err)
		}
		socket.write(frame{final: true, opcode: opPing, payload: payload})
	case "send_fragments":
		for i, part := range s.Parts {
			f := frame{final: i == len(s.Parts)-1, payload: []byte(run.bindings.expand(part))}
			if i == 0 {
				f.opcode = opText
			}
			socket.write(f)
		}
	case "close":
		socket.writeClose(s.Code)
	case "drop_tcp":
		socket.drop()
	default:
		return fmt.Errorf("unknown op %q", s.Op)
	}
	return nil
}

func (run *run) message(s Step) (frame, error) {
	f := frame{final: true, opcode: opText}
	encoded := s.RawTextHex
	switch {
	case s.Text != nil:
		f.payload = []byte(run.bindings.expand(*s.Text))
		return f, nil
	case s.Hex != nil:
		f.opcode, encoded = opBinary, s.Hex
	}
	payload, err := hex.DecodeString(*encoded)
	if err != nil {
		return frame{}, fmt.Errorf("hex of the step: %w", err)
	}
	f.payload = payload
	return f, nil
}

func (run *run) socket(s Step) (*socket, error) {
	socket, ok := run.sockets[s.Conn]
	if !ok {
		return nil, fmt.Errorf("connection %q was never opened", s.Conn)
	}
	return socket, nil
}

// server asks the server under test to do something, through its hook
// POST /__server, or through Target.Shutdown.
func (run *run) server(ctx context.Context, s Step) error {
	order := map[string]any{"op": s.Do}
	switch s.Do {
	case "graceful shutdown":
		if run.target.Shutdown == nil {
			return fmt.Errorf("the target has no Shutdown")
		}
		return run.target.Shutdown()
	case "broadcast", "broadcast_from":
		maps.Copy(order, map[string]any{"topic": s.Topic, "event": s.Event, "payload": s.Payload})
	case "disconnect":
		order["id"] = s.ID
	default:
		return fmt.Errorf("server cannot %q", s.Do)
	}
	body, err := json.Marshal(order)
	if err != nil {
		return fmt.Errorf("encode order: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, hookTimeout)
	defer cancel()
	headers := map[string]string{
		"connection": "close", "content-type": "application/json",
		"content-length": strconv.Itoa(len(body)),
	}
	got, err := roundTrip(ctx, run.target.dial, run.target.PublishURL, http.MethodPost, "/__server", headers, string(body))
	if err != nil {
		return fmt.Errorf("POST /__server: %w", err)
	}
	_ = got.conn.Close()
	if got.response.StatusCode/100 != 2 {
		return fmt.Errorf("POST /__server: expected status 2xx, got %d %s", got.response.StatusCode, excerpt(got.body))
	}
	return nil
}
