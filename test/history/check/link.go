package main

import (
	"fmt"
	"net"
	"net/url"
	"sync"
)

// A link is the network between one client of Postgres and Postgres. Frozen, it
// swallows everything and closes nothing, as a network does that drops packets.
// Thawed, it delivers late what was under way, as TCP does.
type link struct {
	listener net.Listener
	socket   string // Postgres's
	working  sync.WaitGroup

	mu      sync.Mutex // guards the following
	changed sync.Cond
	frozen  bool
	made    int // connections so far
	lost    int // this many of them never pass anything any more
	conns   map[net.Conn]struct{}
	closed  bool
}

func newLink(socket string) (*link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("link to Postgres: %w", err)
	}
	l := &link{listener: listener, socket: socket, conns: map[net.Conn]struct{}{}}
	l.changed.L = &l.mu
	l.working.Go(l.accept)
	return l, nil
}

// url is the database's address by way of the link.
func (l *link) url(database string) string {
	return (&url.URL{
		Scheme: "postgres", User: url.User("postgres"), Host: l.listener.Addr().String(), Path: "/" + database,
		RawQuery: "sslmode=disable",
	}).String()
}

func (l *link) accept() {
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

func (l *link) serve(number int, client net.Conn) {
	defer l.drop(client)
	if !l.keep(client) {
		return
	}
	l.await(number) // it takes a network to connect, too
	server, err := net.Dial("unix", l.socket)
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
func (l *link) keep(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = struct{}{}
	return !l.closed
}

func (l *link) drop(c net.Conn) {
	_ = c.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// await waits until the connection passes something.
func (l *link) await(number int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.closed && (l.frozen || number <= l.lost) {
		l.changed.Wait()
	}
}

// pass copies one direction. Of a frozen connection not even the end passes.
func (l *link) pass(number int, from, to net.Conn) {
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

func (l *link) freeze() { l.set(func() { l.frozen = true }) }
func (l *link) thaw()   { l.set(func() { l.frozen = false }) }

// renew lets only new connections pass, as a firewall does that has forgotten
// the others.
func (l *link) renew() { l.set(func() { l.frozen, l.lost = false, l.made }) }

func (l *link) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	l.changed.Broadcast()
}

func (l *link) close() {
	_ = l.listener.Close()
	l.set(func() {
		l.closed = true
		for c := range l.conns {
			_ = c.Close()
		}
	})
	l.working.Wait()
}
