// Command check proves the promises of presence on real processes: it starts a
// Postgres and a cluster of servers of their own, fills it with thousands of
// members, breaks things, and compares what observers believe with what the
// servers list and with what the members intended.
//
//	go run ./test/presence/check -duration 60s
//
// It prints a line for each phase, a line for each violation and a summary. It
// exits with 1 when a promise was broken, with 2 when it could not run.
//
// The servers are examples/conformance, which lets a client say by which key it
// is present. Members are WebSocket clients that say so and read past the rest.
// Observers keep the list from presence_state and presence_diff: some in this
// process, some as Presence of phoenix.js in a Node process
// (test/js/harness/presence_observers.mjs).
//
// Invariants:
//   - Each meta has an id that is never used again, so that a meta that left and
//     came back, and one that should have gone, are told apart from a new one.
//   - The roll has an id from before the server is asked to show it until before
//     it is asked to hide it, or until the connection has ended.
//   - Observers believe everything and filter nothing.
//   - Every fault is undone before the next one begins.
package main
