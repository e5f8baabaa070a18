// Package pubsub is the cluster bus: it carries messages from one node to all
// others, or to one of them, over LISTEN/NOTIFY of the one Postgres that the
// nodes share.
//
// It imports internal/dbsqlc, internal/textarray, pgx and prometheus, and knows
// nothing of topics, channels or presence.
//
// # Shape
//
// A node holds one listening connection and one notifying connection, both
// direct, never pooled. [Bus.Publish] puts a message on a queue in memory. The
// notifier sends everything that is waiting in one statement while the next
// batch gathers, packed into payloads of up to 7,900 bytes (payload.go). The
// listener only reads payloads and appends them to the inbox; one dispatcher
// goroutine decodes them, notices what is missing, and calls the handlers. A
// message too large for one payload is stored in the table spill in the same
// statement, and fetched by the receivers' dispatchers.
//
// # Invariants
//
//   - At most once: a batch whose outcome is unknown is not sent again.
//   - A handler sees the messages of one sender in the order in which they were
//     published. The order between senders is undefined.
//   - Every message has a number in its sender's stream (one stream for
//     broadcasts, one for each directly addressed node), so what is lost is
//     noticed at the next message, or at the next heartbeat at the latest, and
//     told to the [Bus.OnLoss] functions.
//   - Nothing blocks a publisher, and nothing downstream blocks the listener: a
//     stalled listener would fill the notification queue of the whole database.
//   - Own messages do not come back.
//   - Whatever waits, waits with a deadline; whatever queues is bounded.
//
// Postgres has no privilege on NOTIFY: any role that may connect to the
// database can forge bus messages. Give the database to Trunkline's roles and
// the application's only.
package pubsub
