// Package load is a load generator of Phoenix clients that is cheap enough for
// the server to be what is measured: raw sockets on one epoll loop, no goroutine
// a connection, frames of its own.
//
// A [Load] and all that belongs to it is used from one goroutine. [Load.Open]
// makes connections, [Load.Poll] handles what came; [Broadcasts] and [Requests]
// drive the two kinds of traffic. Raw connections speak no HTTP and no channels:
// they exchange the same frames with a floor, a program that only moves bytes.
//
// It imports bench/stats, and works on Linux only.
//
// Invariants:
//   - Each frame is parsed by its length, and every message is checked by its
//     number: what is lost, doubled or out of order is an error.
//   - An error ends the Load: each later call returns it.
//   - Every wait has a deadline.
package load
