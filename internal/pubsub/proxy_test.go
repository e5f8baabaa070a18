package pubsub

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A proxy stands between a bus and Postgres, and can swallow what passes
// without closing anything, as a broken network does.
type proxy struct {
	url     string
	network string // of Postgres
	address string
	working sync.WaitGroup

	mu     sync.Mutex
	frozen bool // whether connections to come are swallowed
	links  []*link
	closed bool
}

// A link is one connection through the proxy.
type link struct {
	client, server net.Conn

	mu     sync.Mutex
	thawed chan struct{} // closed while bytes may pass
}

// newProxy listens on a TCP port in front of the Postgres of that URL.
func newProxy(t testing.TB, behind string) *proxy {
	t.Helper()
	config, err := pgx.ParseConfig(behind)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{}
	p.network, p.address = pgconn.NetworkAddress(config.Host, config.Port)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.url = fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable",
		url.UserPassword(config.User, config.Password), listener.Addr(), config.Database)
	p.working.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.serve(client)
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		p.mu.Lock()
		p.closed = true
		for _, l := range p.links {
			l.close()
		}
		p.mu.Unlock()
		p.working.Wait()
	})
	return p
}

func (p *proxy) serve(client net.Conn) {
	var dialer net.Dialer
	server, err := dialer.DialContext(context.Background(), p.network, p.address)
	if err != nil {
		_ = client.Close()
		return
	}
	l := &link{client: client, server: server, thawed: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		l.close()
		return
	}
	if !p.frozen {
		close(l.thawed)
	}
	p.links = append(p.links, l)
	p.working.Go(func() { l.pass(client, server) })
	p.working.Go(func() { l.pass(server, client) })
}

func (l *link) pass(from, to net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			l.mu.Lock()
			thawed := l.thawed
			l.mu.Unlock()
			<-thawed
			if _, err := to.Write(buffer[:n]); err != nil {
				_ = from.Close()
				return
			}
		}
		if err != nil { // of a frozen link not even the end passes
			l.mu.Lock()
			thawed := l.thawed
			l.mu.Unlock()
			<-thawed
			_ = to.Close()
			return
		}
	}
}

func (l *link) freeze() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.thawed:
		l.thawed = make(chan struct{})
	default:
	}
}

func (l *link) thaw() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.thawed:
	default:
		close(l.thawed)
	}
}

func (l *link) close() {
	_ = l.client.Close()
	_ = l.server.Close()
	l.thaw()
}

// freeze swallows what passes over the connections there are, and over those to
// come.
func (p *proxy) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = true
	for _, l := range p.links {
		l.freeze()
	}
}

// freezeOnly swallows what passes over the i-th connection.
func (p *proxy) freezeOnly(i int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.links[i].freeze()
}

// admit lets connections to come pass; those frozen stay so.
func (p *proxy) admit() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = false
}

// thaw lets everything pass again, and what was held arrives late.
func (p *proxy) thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = false
	for _, l := range p.links {
		l.thaw()
	}
}
