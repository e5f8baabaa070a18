package cluster

import (
	"net"
	"net/url"
	"sync"
	"testing"
)

// A proxy is the network between a node and Postgres. Frozen, it swallows
// everything and closes nothing, as a network does that drops packets. Thawed,
// it delivers late what was under way, as TCP does.
type proxy struct {
	listener net.Listener
	behind   string
	working  sync.WaitGroup

	mu      sync.Mutex // guards the following
	changed sync.Cond
	frozen  bool
	links   int // accepted so far
	lost    int // this many of them never pass anything any more
	conns   []net.Conn
	closed  bool
}

func startProxy(t testing.TB, behind string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, behind: behind}
	p.changed.L = &p.mu
	p.working.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// url is the database's address by way of the proxy.
func (p *proxy) url(t testing.TB, direct string) string {
	t.Helper()
	return redirected(t, direct, p.listener.Addr().String())
}

// redirected is the address of the same database at another host and port.
func redirected(t testing.TB, direct, address string) string {
	t.Helper()
	u, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = address
	return u.String()
}

func hostPort(t testing.TB, rawURL string) string {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil || u.Port() == "" {
		t.Fatalf("no host and port in %s: %v", rawURL, err)
	}
	return u.Host
}

func (p *proxy) accept() {
	for link := 1; ; link++ {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.links = link
		p.mu.Unlock()
		p.working.Go(func() { p.serve(link, client) })
	}
}

func (p *proxy) serve(link int, client net.Conn) {
	defer client.Close()
	if !p.keep(client) {
		return
	}
	p.await(link) // it takes a network to connect, too
	upstream, err := net.Dial("tcp", p.behind)
	if err != nil {
		return
	}
	defer upstream.Close()
	if !p.keep(upstream) {
		return
	}
	p.working.Go(func() { p.pass(link, client, upstream) })
	p.pass(link, upstream, client)
}

// keep remembers a connection so that close ends it.
func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = append(p.conns, c)
	return !p.closed
}

// await waits until the link passes something.
func (p *proxy) await(link int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.closed && (p.frozen || link <= p.lost) {
		p.changed.Wait()
	}
}

// pass copies one direction. Of a frozen link not even the end passes.
func (p *proxy) pass(link int, from, to net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		p.await(link)
		if _, writeErr := to.Write(buffer[:n]); err != nil || writeErr != nil {
			_ = to.Close()
			_ = from.Close()
			return
		}
	}
}

func (p *proxy) freeze() { p.set(func() { p.frozen = true }) }
func (p *proxy) thaw()   { p.set(func() { p.frozen = false }) }

// renew lets only new connections pass, as a firewall does that has forgotten
// the others.
func (p *proxy) renew() { p.set(func() { p.frozen, p.lost = false, p.links }) }

func (p *proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	p.changed.Broadcast()
}

func (p *proxy) close() {
	_ = p.listener.Close()
	p.set(func() {
		p.closed = true
		for _, c := range p.conns {
			_ = c.Close()
		}
	})
	p.working.Wait()
}
