package pubsub

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// A listener owns the connection that LISTENs. It reads payloads and appends
// them to the inbox, and does nothing else, so that it never falls behind.
type listener struct {
	connector   *connector
	channels    []string
	node        string
	inbox       *inbox
	health      *health
	metrics     *metrics
	log         *slog.Logger
	backoff     backoff
	dialTimeout time.Duration

	mu   sync.Mutex
	kick context.CancelCauseFunc // ends the current session
}

// run listens on conn and its successors until ctx ends.
func (l *listener) run(ctx context.Context, conn *connection) {
	var closing sync.WaitGroup // a broken connection is closed beside its successor
	defer closing.Wait()
	for {
		err := l.session(ctx, conn)
		closing.Go(conn.close)
		if ctx.Err() != nil {
			return
		}
		l.metrics.reconnects.WithLabelValues("listener").Inc()
		l.log.WarnContext(ctx, "bus: the listening connection is lost", "node", l.node, "error", err)
		l.health.listening(err, time.Now())
		if conn = l.reconnect(ctx); conn == nil {
			return
		}
		l.log.InfoContext(ctx, "bus: listening again", "node", l.node)
		// What was sent in between is gone, and only its sender's next message
		// will tell how much.
		l.inbox.put(arrival{missed: true})
	}
}

// reconnect tries until it listens again, or returns nil when ctx ends.
func (l *listener) reconnect(ctx context.Context) *connection {
	l.backoff.reset()
	for l.backoff.wait(ctx) {
		conn, err := l.connector.connect(ctx, "listener")
		if err == nil {
			if err = l.listen(ctx, conn); err == nil {
				return conn
			}
			conn.close()
		}
		l.log.DebugContext(ctx, "bus: cannot listen", "node", l.node, "error", err)
		l.health.listening(err, time.Now())
	}
	return nil
}

// listen subscribes the connection to the bus's channels.
func (l *listener) listen(ctx context.Context, conn *connection) error {
	ctx, cancel := context.WithTimeout(ctx, l.dialTimeout)
	defer cancel()
	// A listening session is idle by nature.
	statements := []string{"set idle_session_timeout = 0"}
	for _, channel := range l.channels {
		statements = append(statements, "listen "+pgx.Identifier{channel}.Sanitize())
	}
	if _, err := conn.Exec(ctx, strings.Join(statements, "; ")); err != nil {
		return fmt.Errorf("LISTEN: %w", err)
	}
	return nil
}

// session reads until the connection fails, or the monitor or ctx ends it.
func (l *listener) session(ctx context.Context, conn *connection) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l.mu.Lock()
	l.kick = cancel
	l.mu.Unlock()
	l.health.listening(nil, time.Now())

	ownHeartbeat := string(appendHeader(nil, header{stream: streamHeartbeat, node: l.node}))
	ownHeartbeat = strings.TrimSuffix(ownHeartbeat, "0|")
	ownMark := "|" + l.node + "|"
	for {
		notification, err := conn.WaitForNotification(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		}
		payload := notification.Payload
		if strings.HasPrefix(payload, ownHeartbeat) {
			if h, _, err := decodeHeader(payload); err == nil {
				l.health.arrived(h.counter, time.Now())
			}
			continue
		}
		if from := len(payloadVersion) + 1; len(payload) > from && strings.HasPrefix(payload[from:], ownMark) {
			continue
		}
		if !l.inbox.put(arrival{payload: payload, at: time.Now()}) {
			l.metrics.overflowed.Inc()
		}
	}
}

// end makes the listener replace its connection.
func (l *listener) end(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kick != nil {
		l.kick(cause)
	}
}
