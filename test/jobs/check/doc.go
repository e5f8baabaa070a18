// Command check proves the promises of background jobs on real processes: it
// starts a Postgres and servers of their own, has clients ask for work, breaks
// things, and compares what clients were told with what was asked and with what
// is stored.
//
//	go run ./test/jobs/check -duration 60s
//
// It prints a line for each phase, a line for each violation and a summary. It
// exits with 1 when a promise was broken or when too little was done to prove
// anything, with 2 when it could not run.
//
// The servers are examples/jobs, reached as clients and applications reach them:
// by WebSocket, one client with phoenix.js (test/js/harness/jobs_client.mjs), and
// by SQL. Each phase has a database and servers of its own. Those that measure
// run alone, one after the other; then all others at once, as most of them wait.
//
// Invariants:
//   - Clients record every answer that comes, and filter nothing.
//   - A phase ends when everything has come, or should have, and then listens on
//     for what should not.
//   - Counts are compared with the tables, not with what the servers say.
package main
