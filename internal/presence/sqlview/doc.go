// Package sqlview feeds the SQL view trunkline.presence(topic, key, meta, node,
// online_at) with what is tracked on this node.
//
// Each node writes its own members, once a second at most what has changed
// since, under an incarnation: a row of its life, which it renews while it
// lives. A life that was not renewed for 15 s is over for good, whatever its
// node thinks: nobody sees its members, any node deletes them, and its own node,
// finding it so, begins another and writes all its members anew. The same heals
// what a crash of Postgres takes away, for the tables are unlogged. The times
// are those of Postgres.
//
// It imports internal/presence for its entries, and internal/dbsqlc.
//
// Invariants:
//   - A row belongs to one incarnation, which one node writes, one statement at
//     a time. Each statement is idempotent: one whose outcome is unknown is sent
//     again.
//   - A statement takes effect only while its incarnation goes on.
//   - What waits to be written is bounded by the members that are and by the rows
//     that were written, however long Postgres is away.
//   - A node on which nothing is tracked writes no rows: it sends one statement
//     each 5 s, which deletes what other nodes left behind.
package sqlview
