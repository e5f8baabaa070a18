// Package history makes messages durable: it numbers and stores what is
// published, moves what SQL transactions published into the same streams,
// delivers every message of a topic once and in order, and reads back what a
// client missed.
//
// It imports internal/dbsqlc, internal/textarray, internal/wire for the check of
// payloads, pgx and prometheus. It knows neither sockets nor the bus, which it meets through an
// interface of its own.
//
// # The database's part
//
// The SQL functions of db/migrations/00002_history.sql and
// 00006_append_plain.sql are the only writers of the tables:
//
//   - append numbers and stores a batch. Nodes call it with what was published
//     through them, the relay through drain with what SQL transactions left.
//   - append_plain does the same for less where no message has a key or refers
//     to another one.
//   - publish, update_message, delete_message and broadcast put a row into the
//     outbox, as a part of the transaction that calls them. They take no lock.
//   - drain moves the oldest rows of the outbox into the streams. One node, the
//     relay's leader, calls it; a second caller would only wait.
//
// store is the typed layer over them. relay.go, partitions.go and retention.go
// hold the work that goes on beside the messages.
//
// # The part in memory
//
// Of each kind there is one in a [History]:
//
//   - batcher and queue store what is published through this node, one batch at
//     a time with all that came meanwhile.
//   - feeds hold a feed for each topic that is followed. It brings what comes
//     from the batcher, the relay, the bus (notify.go) and the reader into order,
//     delivers it, and keeps the newest messages in a ring.
//   - reader reads what is in no ring, for everybody who waits at a time with
//     one statement: pages of clients as well as holes of feeds.
//   - sweeper compares heads with the database, which finds what nobody told of.
//   - backend lends connections that lead to the newest generation of the
//     database only.
//
// A feed is worked by one goroutine at a time, which holds its turn while it
// delivers. Locks are taken in the order feed.turn, feeds.mu, feed.mu; the
// latter two are held for moments only, and never while something is called
// that belongs to others or waits.
//
// # Invariants
//
//   - The ids of a topic are 1 to head without gaps, in the order in which the
//     numbering transactions committed; inserted_at never falls as ids rise,
//     as long as the server's clock does not.
//   - A message is visible if and only if its transaction committed.
//   - An id never changes its message: edits and deletions are messages of
//     their own that refer to it. Only the stored payload is brought up to date.
//   - Counters are locked in the order of topic ids and by append and
//     append_plain only, never by an application's transaction, so nothing
//     deadlocks and no open transaction delays a publisher.
//   - NOTIFY is a hint; the tables are the truth. So a node that knows of no
//     other sends none, and a node that starts sweeps soon.
//   - Draining the outbox and storing its messages is one transaction, so a
//     relay that dies loses and doubles nothing.
package history
