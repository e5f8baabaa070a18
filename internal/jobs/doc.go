// Package jobs runs background work on River, and brings the answers of jobs
// back to the clients whose pushes asked for them.
//
// It owns the River client of a node, the table job_replies and the periodic
// maintenance. It imports internal/dbsqlc, its own part webhook, River and pgx;
// the bus and the clients it meets through interfaces of its own.
//
// Invariants:
//   - A push's row in job_replies, its job and what the application added commit
//     together. There is one job for each (topic, requester, key), however often
//     the push is repeated while the row is kept.
//   - The first answer of a job counts, and it is stored before anybody is told.
//     Notifications are hints, the table is the truth: what a node has to
//     deliver it finds without them, later.
//   - An answer is delivered to every push that waits for it, on whichever node.
//     Where nobody took it, it goes to one channel of the same requester and
//     topic that joins or has joined, as an event.
//   - Every job of the table is answered in the end: one that ended without its
//     worker, cancelled or rescued too often, is answered by maintenance.
package jobs
