package history

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	dialTimeout  = 2 * time.Second
	closeTimeout = time.Second

	// directSettings make Postgres notice within seconds that the peer is gone,
	// and so give up the session's locks; a wait for a counter ends by itself. A
	// relay says something each second at least: the idle timeout is for a peer
	// behind a proxy that answers keepalives in its place.
	directSettings = `set idle_session_timeout = '10s'; set lock_timeout = '5s';
		set tcp_keepalives_idle = 5; set tcp_keepalives_interval = 1; set tcp_keepalives_count = 3; set tcp_user_timeout = 10000`
)

// connectDirect opens a connection of its own. use names it in
// pg_stat_activity; notified is called, during statements and waits, when a
// notification came.
func connectDirect(ctx context.Context, url, use string, notified func()) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("direct database URL: %w", err)
	}
	config.ConnectTimeout = dialTimeout
	config.RuntimeParams["application_name"] = use
	config.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) { notified() }
	dialer := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: time.Second, Count: 3}}
	config.DialFunc = dialer.DialContext
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	setting, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	if _, err := conn.Exec(setting, directSettings); err != nil {
		closeDirect(conn)
		return nil, fmt.Errorf("settings of the connection: %w", err)
	}
	return conn, nil
}

// closeDirect returns when nothing of the connection is left.
func closeDirect(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = conn.Close(ctx) // it is given up either way
	<-conn.PgConn().CleanupDone()
}
