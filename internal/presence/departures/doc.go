// Package departures acts on each departure of a key from a topic exactly once,
// also when its node was killed or Postgres crashed.
//
// A stay is a key in a topic on one node, from its first meta there to its last.
// The node writes its stays to Postgres, a moment after they begin and end, under
// an incarnation: a row of its life, which it renews while it lives. A life that
// was not renewed for 12 s is over for good, whatever its node thinks: any node
// ends its stays, and its own node, finding it so, begins another life and
// writes who is still there as new stays. A stay that has ended is settled once
// its grace is over: by whichever node, one at a time, in the transaction that
// deletes it and acts on it. It was a departure if the key has no other stay in
// the topic by then.
//
// It imports internal/presence for its entries, and internal/dbsqlc.
//
// Invariants:
//   - A stay counts once it was written, at most 100 ms and a statement after it
//     began; one that a node's death catches before that never was.
//   - Batches of a life are numbered, so one whose outcome is unknown is sent
//     again and written once.
//   - Rows are deleted only together with acting on the departure.
package departures
