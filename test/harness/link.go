package harness

import (
	"fmt"
	"net"
	"sync"
)

// A Link is the network between clients and a server, such as Postgres. Frozen,
// it swallows everything and closes nothing, as a network does that drops
// packets. Thawed, it delivers late what was under way, as TCP does.
type Link struct {
	listener net.Listener
	dial     func() (net.Conn, error)
	working  sync.WaitGroup

	mu      sync.Mutex // guards the following
	changed sync.Cond
	frozen  bool
	made    int // connections so far
	lost    int // this many of them never pass anything any more
	conns   map[net.Conn]struct{}
	closed  bool
}

// NewLink returns a link that dials the server for each connection that it
// accepts.
func NewLink(dial func() (net.Conn, error)) (*Link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	l := &Link{listener: listener, dial: dial, conns: map[net.Conn]struct{}{}}
	l.changed.L = &l.mu
	l.working.Go(l.accept)
	return l, nil
}

// Address is the host:port that the link listens on.
func (l *Link) Address() string { return l.listener.Addr().String() }

func (l *Link) accept() {
	for number := 1; ; number++ {
		client, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.mu.Lock()
		l.made = number
		l.mu.Unlock()
		l.working.Go(func() { l.serve(number, client) })
	}
}

func (l *Link) serve(number int, client net.Conn) {
	defer l.drop(client)
	if !l.keep(client) {
		return
	}
	l.await(number) // it takes a network to connect, too
	server, err := l.dial()
	if err != nil {
		return
	}
	defer l.drop(server)
	if !l.keep(server) {
		return
	}
	l.working.Go(func() { l.pass(number, client, server) })
	l.pass(number, server, client)
}

// keep remembers a connection so that close ends it.
func (l *Link) keep(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = struct{}{}
	return !l.closed
}

func (l *Link) drop(c net.Conn) {
	_ = c.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// await waits until the connection passes something.
func (l *Link) await(number int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.closed && (l.frozen || number <= l.lost) {
		l.changed.Wait()
	}
}

// pass copies one direction. Of a frozen connection not even the end passes.
func (l *Link) pass(number int, from, to net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		l.await(number)
		if _, writeErr := to.Write(buffer[:n]); err != nil || writeErr != nil {
			_ = to.Close()
			_ = from.Close()
			return
		}
	}
}

// Freeze lets nothing pass until Thaw or Renew.
func (l *Link) Freeze() { l.set(func() { l.frozen = true }) }

// Thaw lets everything pass again.
func (l *Link) Thaw() { l.set(func() { l.frozen = false }) }

// Renew lets only new connections pass, as a firewall does that has forgotten
// the others.
func (l *Link) Renew() { l.set(func() { l.frozen, l.lost = false, l.made }) }

func (l *Link) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	l.changed.Broadcast()
}

// Close ends the link with all its connections.
func (l *Link) Close() {
	_ = l.listener.Close()
	l.set(func() {
		l.closed = true
		for c := range l.conns {
			_ = c.Close()
		}
	})
	l.working.Wait()
}

// Cut ends all connections; the link takes new ones.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		_ = c.Close()
	}
}
