// Command check proves the promise of the durable history on real processes: it
// starts a Postgres and a cluster of servers of their own, publishes and
// subscribes while it breaks things, and then compares what publishers were
// told, what subscribers were handed and what is stored (package verify).
//
//	go run ./test/history/check -duration 60s
//
// It prints a line for each fault, a line for each violation and a summary. It
// exits with 1 when the promise was broken or when too little was done to prove
// anything, with 2 when it could not run.
//
// The servers are the deployed program (cmd/server serve), reached as clients,
// applications and operators reach them. Nothing of it is imported, but what
// starts a Postgres (internal/devdb).
//
// Invariants:
//   - Publishers repeat a message, with its key, until it is acknowledged.
//   - Subscribers keep nothing but the newest id and the epoch of each topic.
//     They believe every answer and filter nothing, so that whatever the server
//     doubles or leaves out shows.
//   - Every fault is undone before the next one begins, and all are before the
//     end: what is missing then is missing for good.
//   - All goroutines end before the records are compared.
package main
