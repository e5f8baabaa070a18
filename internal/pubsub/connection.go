package pubsub

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trunkline/trunkline/internal/textarray"
)

const (
	// closeTimeout bounds the goodbye to Postgres, after which the socket is
	// closed under it.
	closeTimeout = time.Second
	// maxIdentifier is Postgres's limit on application_name.
	maxIdentifier = 63
)

// connector opens the bus's own connections.
type connector struct {
	config *pgx.ConnConfig
}

// newConnector reads the direct URL. application names the connections in
// pg_stat_activity.
func newConnector(directURL, application string, dialTimeout time.Duration) (*connector, error) {
	config, err := pgx.ParseConfig(directURL)
	if err != nil {
		return nil, fmt.Errorf("direct database URL: %w", err)
	}
	config.ConnectTimeout = dialTimeout
	config.RuntimeParams["application_name"] = application[:min(len(application), maxIdentifier)]
	return &connector{config: config}, nil
}

// newDialer finds a dead peer in 8 s whatever the connection is doing; the
// bus's own checks are faster where they apply.
func newDialer() *net.Dialer {
	return &net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: time.Second, Count: 3},
		Control:         setUserTimeout,
	}
}

// A connection is a Postgres connection that can be closed within a bounded
// time, whatever the network does.
type connection struct {
	*pgx.Conn
	cancelDials context.CancelFunc

	mu      sync.Mutex
	sockets []net.Conn
}

// connect opens a connection. use is a word for pg_stat_activity.
func (c *connector) connect(ctx context.Context, use string) (*connection, error) {
	config := c.config.Copy()
	if use != "" {
		name := config.RuntimeParams["application_name"] + " " + use
		config.RuntimeParams["application_name"] = name[:min(len(name), maxIdentifier)]
	}
	conn := &connection{}
	life, cancel := context.WithCancel(context.Background())
	conn.cancelDials = cancel
	dialer := newDialer()
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		defer context.AfterFunc(life, stop)()
		socket, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		conn.mu.Lock()
		defer conn.mu.Unlock()
		conn.sockets = append(conn.sockets, socket)
		return socket, nil
	}
	var err error
	if conn.Conn, err = pgx.ConnectConfig(ctx, config); err != nil {
		cancel()
		return nil, err
	}
	textarray.Register(conn.TypeMap()) // a flush carries up to a megabyte
	return conn, nil
}

// close says goodbye where that is possible within closeTimeout, and returns
// when nothing of the connection is left.
func (c *connection) close() {
	defer c.cancelDials()
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if !c.IsClosed() {
		_ = c.Close(ctx) // it is given up either way
		return
	}
	// After a failure pgx cancels the statement and closes by itself, which
	// takes up to 15 s where the network swallows everything.
	select {
	case <-c.PgConn().CleanupDone():
		return
	case <-ctx.Done():
	}
	c.cancelDials()
	c.mu.Lock()
	for _, socket := range c.sockets {
		_ = socket.Close()
	}
	c.mu.Unlock()
	<-c.PgConn().CleanupDone()
}
