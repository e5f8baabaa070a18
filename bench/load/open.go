//go:build linux

package load

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trunkline/trunkline/bench/stats"
)

// A Client is what one connection is to be.
type Client struct {
	// Address of the server, host:port with an IPv4 host.
	Address netip.AddrPort
	// Topic to join, and the join's payload; nil is {}.
	Topic  string
	Params []byte
}

// OpenOptions say how connections are made.
type OpenOptions struct {
	Count  int
	Client func(i int) Client
	// Path and query of the WebSocket. "" makes raw connections: no HTTP, no
	// join.
	Path string
	// Concurrent is how many may be under way. Default 64.
	Concurrent int
	// ReceiveBuffer is SO_RCVBUF; 0 leaves it to the kernel.
	ReceiveBuffer int
	// Limit is how long all may take together. Default one minute.
	Limit time.Duration
}

// opening is the Open that is under way.
type opening struct {
	options OpenOptions
	started int
	done    int
	conns   []*Conn
	times   *stats.Histogram
}

const (
	// webSocketKey is one for all: the answer to it is known.
	webSocketKey    = "dGhlIHNhbXBsZSBub25jZQ=="
	webSocketAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// Open makes connections and joins each to its topic. times are from the
// connect to the join's reply.
func (l *Load) Open(o OpenOptions) (conns []*Conn, times *stats.Histogram, err error) {
	if o.Concurrent == 0 {
		o.Concurrent = 64
	}
	if o.Limit == 0 {
		o.Limit = time.Minute
	}
	l.opening = opening{options: o, times: new(stats.Histogram)}
	for l.opening.started < min(o.Concurrent, o.Count) {
		l.openNext()
	}
	err = l.Until(o.Limit, "joined connections", func() (int, int) { return l.opening.done, o.Count })
	return l.opening.conns, l.opening.times, err
}

func (l *Load) openNext() {
	o := &l.opening
	if o.started == o.options.Count || l.err != nil {
		return
	}
	c := &Conn{
		ID: o.started, client: o.options.Client(o.started), raw: o.options.Path == "",
		began: time.Now(), slot: l.freeSlot(),
	}
	c.Topic = c.client.Topic
	o.started++
	if err := l.connect(c, o.options.ReceiveBuffer); err != nil {
		l.fail(fmt.Errorf("connection %d to %s: %w", c.ID, c.client.Address, err))
		return
	}
	l.conns[c.slot] = c
	l.live++
	o.conns = append(o.conns, c)
	l.watch(c, unix.EPOLL_CTL_ADD)
}

// freeSlot is a place in conns that no event under way names.
func (l *Load) freeSlot() int {
	if last := len(l.free) - 1; last >= 0 {
		slot := l.free[last]
		l.free = l.free[:last]
		return slot
	}
	l.conns = append(l.conns, nil)
	return len(l.conns) - 1
}

func (l *Load) connect(c *Conn, receiveBuffer int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	c.fd = fd
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return errors.Join(err, unix.Close(fd))
	}
	if receiveBuffer > 0 {
		// Before the connect: the window stays as large as it was then.
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer); err != nil {
			return errors.Join(err, unix.Close(fd))
		}
	}
	address := &unix.SockaddrInet4{Port: int(c.client.Address.Port()), Addr: c.client.Address.Addr().As4()}
	if err := unix.Connect(fd, address); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return errors.Join(err, unix.Close(fd))
	}
	return nil
}

// connected is called when the connect has ended.
func (l *Load) connected(c *Conn) {
	code, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = unix.Errno(code)
	}
	if err != nil {
		l.fail(fmt.Errorf("connection %d to %s: %w", c.ID, c.client.Address, err))
		return
	}
	if c.raw {
		c.state = open
		l.watch(c, unix.EPOLL_CTL_MOD)
		l.opened(c)
		return
	}
	c.state = upgrading
	l.watch(c, unix.EPOLL_CTL_MOD)
	l.write(c, fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n", l.opening.options.Path, c.client.Address, webSocketKey))
}

// upgraded reads the answer to the upgrade and sends the join.
func (l *Load) upgraded(c *Conn, data []byte) (rest []byte, err error) {
	head, rest, whole := bytes.Cut(data, []byte("\r\n\r\n"))
	if !whole {
		return data, nil
	}
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) || !bytes.Contains(head, []byte(webSocketAccept)) {
		return nil, fmt.Errorf("no upgrade: %.300q", data)
	}
	c.state = joining
	l.Join(c, c.client.Topic, c.client.Params)
	return rest, nil
}

// Join joins a further topic on the same connection. Await Joined.
func (l *Load) Join(c *Conn, topic string, params []byte) {
	if params == nil {
		params = []byte("{}")
	}
	ref := fmt.Sprint("j", c.joins)
	c.joins++
	l.scratch = appendEnvelope(l.scratch[:0], ref, ref, topic, "phx_join", params)
	l.SendText(c, l.scratch)
}

// Joined is whether all joins of the connection were answered.
func (c *Conn) Joined() bool { return c.joined == c.joins && c.joins > 0 }

// answered is called at the reply to a join.
func (l *Load) answered(c *Conn) {
	c.joined++
	if c.state == joining {
		c.state = open
		l.opened(c)
	}
}

func (l *Load) opened(c *Conn) {
	l.opening.done++
	l.opening.times.Add(time.Since(c.began))
	l.openNext()
}
