// Package cluster holds the acceptance tests of a cluster: server processes as
// they are deployed, a Postgres of its own for each test that needs to break
// it, and clients that speak the protocol over WebSockets and long polling.
//
// TestMain builds the programs once, into bin/test of the repository; with
// GOFLAGS=-race they look for races as well. The tests import nothing of the
// server, only what starts processes and Postgres (test/harness,
// internal/pgtest): they see what a client,
// an operator and Postgres see.
//
// Invariants:
//   - Tests whose limits a busy machine would break run alone; the others run in
//     parallel, each with its own database or its own Postgres.
//   - Every wait has a deadline. A test sleeps only where time is what it tests.
//   - What was measured is logged: go test -v shows it.
package cluster
