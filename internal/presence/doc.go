// Package presence knows who is where: which owners (channels, jobs, pages)
// are tracked under which key in which topic, on all nodes of the cluster.
//
// # The set
//
// Its heart is the set of Phoenix.Tracker (Phoenix.Tracker.State, Clock,
// DeltaGeneration, Replica): an add-wins observed-remove set without
// tombstones (Bieniusa et al., "An optimized conflict-free replicated set",
// 2012), replicated by deltas (Almeida et al., "Delta state replicated data
// types", 2016). Each node is a [Replica] with a version of its own for each
// start, holds a [State], and changes only what it added itself.
//
//   - Every add and every remove is one tick of the replica's clock. An added
//     [Entry] carries its [Tag], replica and clock, which is never used again.
//   - Context and clouds say which tags a replica has heard of: all up to the
//     context's clock, and those in the cloud above it. A tag that is known and
//     has no entry has been removed. So a remove needs no tombstone.
//   - A [Delta] is a piece of such knowledge with the entries that live in it.
//     A whole state is no more than the delta from nothing. Merging one is
//     commutative, associative and idempotent, and reports what became visible
//     and what ceased to be.
//   - A hole in what was heard keeps the context below it, so the replica's
//     [Clock] shows others what to send again: [State.Extract].
//   - A replica is up, down (its entries are kept, and shown to nobody) or
//     permanently down (forgotten). What is said of a replica that is not known
//     is ignored.
//
// [Generations] keep the recent deltas for cheap transfers, [Replicas] tells
// from heartbeats who is up, [ClockSet] whom to ask for news. [Diffs] collects
// joins and leaves into presence diffs for clients.
//
// # Invariants of the set
//
//   - It is pure: no clock, no I/O, no goroutines. Times are passed in. It
//     imports nothing of ours.
//   - A value of State, Delta, Generations, Replicas or Diffs belongs to one
//     goroutine at a time. An Entry never changes and may be shared.
//   - The joins and leaves that a State returns, applied one after another,
//     give exactly what it lists.
//   - Own entries are never removed by a merge.
//   - Every entry's tag is within the context or a cloud of the State or Delta
//     that holds it.
//   - A tag once known stays known until its replica is permanently down.
//
// # The tracker
//
// [Tracker] drives the set (Phoenix.Tracker.Shard, Phoenix.Presence). It meets
// the bus, its health and the subscribers through [Config]. The way of a
// change: State, then grace, which keeps the last entries of a key for a while,
// then the outbox, which makes diffs and delivers them. The way of a message:
// HandleBus, which notes the sign of life, an inbox, and the shard's goroutine.
//
// # Invariants of the tracker
//
//   - A change is told to subscribers in the order in which the set took it,
//     topic by topic, and never with a lock held.
//   - A shard learns of a replica's status before the messages that follow it.
//   - Nobody is down for a node that cannot hear.
//   - Messages may be lost: clocks show it, transfers make up for it. What one
//     loss sends is bounded, so that losses do not feed themselves.
//   - Inboxes, workers and waiting diffs are bounded; beyond it messages are
//     dropped, topics wait, and diffs coalesce.
package presence
