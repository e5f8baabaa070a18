package pubsub

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// flushBytes is about what one statement carries.
	flushBytes = 1 << 20
	// flushPause is the least time between the starts of two flushes: at middle
	// rates a flush for each message would burn the processor for nothing. A
	// message that comes after a quieter moment is sent at once.
	flushPause = time.Millisecond
)

// A notifier owns the connection that sends. One flush is under way at a time;
// what is published meanwhile makes the next batch.
type notifier struct {
	connector    *connector
	sender       sender
	node         string
	queue        *queue
	health       *health
	metrics      *metrics
	log          *slog.Logger
	backoff      backoff
	heartbeat    time.Duration
	flushTimeout time.Duration
	drainTimeout time.Duration

	heartbeats uint64 // number of the newest
}

// run sends over conn and its successors until ctx ends, and then what is left.
func (n *notifier) run(ctx context.Context, conn *connection) {
	var closing sync.WaitGroup // a broken connection is closed beside its successor
	defer closing.Wait()
	for {
		n.queue.setAway(false)
		n.health.notifying(nil)
		err := n.session(ctx, conn)
		if err == nil { // ctx ended
			n.drain(ctx, conn)
			conn.close()
			return
		}
		closing.Go(conn.close)
		n.queue.setAway(true)
		n.health.notifying(err)
		n.metrics.reconnects.WithLabelValues("notifier").Inc()
		n.log.WarnContext(ctx, "bus: the notifying connection is lost", "node", n.node, "error", err)
		if conn = n.reconnect(ctx); conn == nil {
			n.discard()
			return
		}
		n.log.InfoContext(ctx, "bus: notifying again", "node", n.node)
	}
}

// reconnect tries until it is connected, or returns nil when ctx ends.
func (n *notifier) reconnect(ctx context.Context) *connection {
	n.backoff.reset()
	away := false
	for n.backoff.wait(ctx) {
		conn, err := n.connector.connect(ctx, "notifier")
		if err == nil {
			if away && !n.holdBack(ctx) {
				conn.close()
				return nil
			}
			return conn
		}
		away = true
		n.log.DebugContext(ctx, "bus: cannot notify", "node", n.node, "error", err)
		n.health.notifying(err)
	}
	return nil
}

// holdBack gives the other nodes' listeners the time of one backoff to return
// as well: what is sent before they do is lost to them. It reports whether ctx
// still holds.
func (n *notifier) holdBack(ctx context.Context) bool {
	timer := time.NewTimer(n.backoff.most)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// session flushes until the connection fails; it returns nil when ctx ends.
func (n *notifier) session(ctx context.Context, conn *connection) error {
	beat := time.NewTicker(n.heartbeat)
	defer beat.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	due := true // the first heartbeat shows at once that the way is open again
	for ctx.Err() == nil {
		started := time.Now()
		left, err := n.flush(ctx, conn, due)
		if err != nil {
			return err
		}
		due = false
		if left == 0 {
			pause.Reset(flushPause - time.Since(started))
			select {
			case <-pause.C:
			case <-ctx.Done():
				return nil
			}
			select {
			case <-n.queue.wake:
			case <-beat.C:
				due = true
			case <-ctx.Done():
				return nil
			}
		}
		select {
		case <-beat.C:
			due = true
		default:
		}
	}
	return nil
}

// flush sends the next batch and a heartbeat if one is due. It tells how much
// is left in the queue, and fails only if the connection is lost.
func (n *notifier) flush(ctx context.Context, conn *connection, due bool) (left int, err error) {
	now := time.Now()
	batch, left := n.queue.take(now, flushBytes)
	if len(batch) == 0 && !due {
		return left, nil
	}
	p := pack(n.node, batch)
	if due {
		n.heartbeats++
		p.addHeartbeat(broadcastChannel(n.sender.schema.Name()), n.node, n.heartbeats, n.queue.announce(now))
	}
	// The batch is worth its deadline even when the bus is told to end.
	sendCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), n.flushTimeout)
	defer cancel()
	if err = n.sender.send(sendCtx, conn, p); err != nil {
		return left, n.failed(ctx, conn, batch, err)
	}
	n.backoff.reset()
	n.metrics.flushes.Observe(time.Since(now).Seconds())
	n.metrics.payloadsSent.Add(float64(len(p.payloads)))
	n.metrics.bytesSent.Add(float64(p.bytes))
	n.metrics.spilled.Add(float64(len(p.ids)))
	if due {
		n.health.confirmed(n.heartbeats, time.Now())
	}
	return left, nil
}

// failed settles a batch that was not sent, or perhaps not. It returns nil if
// the connection can go on.
func (n *notifier) failed(ctx context.Context, conn *connection, batch []outgoing, err error) error {
	var refusal *pgconn.PgError
	switch {
	case pgconn.SafeToRetry(err):
		n.queue.putBack(batch)
		return err
	case !errors.As(err, &refusal):
		// It may have been committed: to send it again could deliver it twice.
		n.metrics.drop(dropUnknown, len(batch))
		return err
	}
	n.metrics.drop(dropRefused, len(batch))
	if conn.IsClosed() {
		return err
	}
	n.log.ErrorContext(ctx, "bus: Postgres refused a batch", "node", n.node, "messages", len(batch), "error", err)
	n.backoff.wait(ctx) // the cause, such as a full notification queue, may last
	return nil
}

// drain sends what is queued, within the deadline.
func (n *notifier) drain(ctx context.Context, conn *connection) {
	n.queue.close()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), n.drainTimeout)
	defer cancel()
	for ctx.Err() == nil {
		left, err := n.flush(ctx, conn, false)
		if err != nil {
			n.log.WarnContext(ctx, "bus: the notifying connection is lost", "node", n.node, "error", err)
			break
		}
		if left == 0 {
			break
		}
	}
	n.discard()
}

// discard counts what will not be sent any more.
func (n *notifier) discard() {
	n.queue.close()
	if left, _ := n.queue.load(); left > 0 {
		n.metrics.drop(dropClosed, left)
		n.log.Warn("bus: ended with messages unsent", "node", n.node, "messages", left)
	}
}
