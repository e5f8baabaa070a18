package golden

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// tape is a server that plays the server's side of one transcript. Its
// WebSocket side is that of another implementation than the replayer's.
type tape struct {
	server   *http.Server
	listener *pipeListener
	served   chan error
	arrivals chan arrival
	shutdown chan struct{}
	conns    map[string]*tapeConn
	due      map[int][]func()
}

type arrival struct {
	w    http.ResponseWriter
	r    *http.Request
	done chan struct{}
}

type tapeConn struct {
	conn  *websocket.Conn
	inbox chan []byte
	ended bool // by the transcript
}

func newTape() *tape {
	p := &tape{
		listener: &pipeListener{accepts: make(chan net.Conn), closed: make(chan struct{})},
		served:   make(chan error, 1),
		arrivals: make(chan arrival), shutdown: make(chan struct{}, 1),
		conns: map[string]*tapeConn{}, due: map[int][]func(){},
	}
	p.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		a := arrival{w: w, r: r, done: make(chan struct{})}
		select {
		case p.arrivals <- a:
			<-a.done
		case <-r.Context().Done():
		}
	})}
	go func() { p.served <- p.server.Serve(p.listener) }()
	return p
}

func (p *tape) target() Target {
	return Target{
		BaseURL: "http://127.0.0.1:4418", dial: p.listener.dial,
		Shutdown: func() error { p.shutdown <- struct{}{}; return nil },
	}
}

func (p *tape) close() error {
	for _, c := range p.conns {
		_ = c.conn.CloseNow()
	}
	_ = p.server.Close()
	if err := <-p.served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("tape: serve: %w", err)
	}
	return nil
}

// play takes part in one replay of steps.
func (p *tape) play(ctx context.Context, steps []Step) error {
	for i, s := range steps {
		if err := p.step(ctx, steps, i); err != nil {
			return fmt.Errorf("tape: step %d (%s): %w", i+1, s.Op, err)
		}
		for _, answer := range p.due[i] {
			answer()
		}
	}
	return nil
}

func (p *tape) step(ctx context.Context, steps []Step, i int) error {
	s := steps[i]
	c := p.conns[s.Conn]
	switch s.Op {
	case "connect":
		return p.connect(ctx, s)
	case "http":
		a, err := p.take(ctx)
		if err != nil {
			return err
		}
		if s.Overlaps > 0 {
			p.due[i+s.Overlaps] = append(p.due[i+s.Overlaps], func() { a.answer(*s.Response) })
			return nil
		}
		defer a.answer(*s.Response)
		return sleep(ctx, milliseconds(s.TookMS))
	case "server":
		if s.Do == "graceful shutdown" {
			select {
			case <-p.shutdown:
			case <-ctx.Done():
			}
			return ctx.Err()
		}
		a, err := p.take(ctx)
		if err == nil {
			a.answer(Response{Status: http.StatusNoContent})
		}
		return err
	case "send", "send_fragments":
		if c.ended {
			return nil
		}
		select {
		case _, ok := <-c.inbox:
			if !ok {
				return fmt.Errorf("connection %s ended", s.Conn)
			}
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	case "close", "drop_tcp":
		c.ended = true
		select {
		case <-c.inbox:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	case "recv":
		return c.write(ctx, s)
	case "closed":
		if c.ended {
			return nil
		}
		c.ended = true
		if s.Code == codeCut {
			return c.conn.CloseNow()
		}
		return c.conn.Close(websocket.StatusCode(s.Code), s.Reason)
	case "quiet":
		if speaksNext(steps[i+1:], s.Conn) {
			return sleep(ctx, milliseconds(s.MS)+100*time.Millisecond)
		}
	}
	return nil
}

// speaksNext reports whether the server has something for conn before the
// client acts again.
func speaksNext(steps []Step, conn string) bool {
	for _, s := range steps {
		switch s.Op {
		case "recv", "closed":
			if s.Conn == conn {
				return true
			}
		case "quiet", "note":
		default:
			return false
		}
	}
	return false
}

func (p *tape) take(ctx context.Context) (arrival, error) {
	select {
	case a := <-p.arrivals:
		return a, nil
	case <-ctx.Done():
		return arrival{}, ctx.Err()
	}
}

func (p *tape) connect(ctx context.Context, s Step) error {
	a, err := p.take(ctx)
	if err != nil {
		return err
	}
	if s.Result.Status != http.StatusSwitchingProtocols {
		a.answer(*s.Result)
		return nil
	}
	defer close(a.done)
	conn, err := websocket.Accept(a.w, a.r, &websocket.AcceptOptions{
		Subprotocols: []string{s.Result.Protocol}, InsecureSkipVerify: true,
	})
	if err != nil {
		return err
	}
	conn.SetReadLimit(-1)
	c := &tapeConn{conn: conn, inbox: make(chan []byte, 1024)}
	p.conns[s.Conn] = c
	go func() {
		defer close(c.inbox)
		for {
			_, data, err := conn.Read(context.Background())
			if err != nil {
				return
			}
			c.inbox <- data
		}
	}()
	return nil
}

func (a arrival) answer(response Response) {
	defer close(a.done)
	if response.Status == http.StatusSwitchingProtocols {
		conn, err := websocket.Accept(a.w, a.r, &websocket.AcceptOptions{
			Subprotocols: []string{response.Headers["sec-websocket-protocol"]}, InsecureSkipVerify: true,
		})
		if err == nil {
			_ = conn.CloseNow()
		}
		return
	}
	for name, value := range response.Headers {
		a.w.Header().Set(name, value)
	}
	a.w.WriteHeader(response.Status)
	_, _ = io.WriteString(a.w, response.Body)
}

func (c *tapeConn) write(ctx context.Context, s Step) error {
	if s.Hex != nil {
		data, err := hex.DecodeString(*s.Hex)
		if err != nil {
			return err
		}
		return c.conn.Write(ctx, websocket.MessageBinary, data)
	}
	decoded, err := parseRecorded([]byte(expandRepeated(*s.Text)))
	if err != nil {
		return err
	}
	data, err := json.Marshal(decoded) // in another key order, and without doubled keys
	if err != nil {
		return err
	}
	return c.conn.Write(ctx, websocket.MessageText, data)
}

// pipeListener is a network in memory, so that a replay can run on fake time.
type pipeListener struct {
	accepts chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.accepts <- server:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.accepts:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4418} }
