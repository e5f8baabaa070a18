// Package harness runs what tests and checkers break: server processes, a
// Postgres of their own, and the network between the two.
//
//   - [Build] makes a server, [Process] and [Node] run it.
//   - [Postgres] may be stopped and started again.
//   - [Link] is a network that swallows everything while it is frozen.
//   - [Journal] prints what happens.
//
// It knows nothing of what the servers do, and imports nothing of ours but what
// starts a Postgres.
//
// Invariants:
//   - On Linux, all that it starts ends with the process that started it.
//   - Every wait has a deadline.
package harness
