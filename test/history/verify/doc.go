// Package verify decides whether a durable history has kept its promise, from
// records of what publishers were told, what subscribers received and what the
// database holds in the end.
//
// It is pure: it reads no clock, no network and no database, and imports nothing
// of ours. Package check makes the records.
//
// Invariants:
//   - Every message has a key of its own, the first word of its text, so that
//     the same message under two ids is known as one.
//   - Nothing is forgiven: what the records cannot tell (a commit whose outcome
//     was lost) is a value of its own, Unknown, with the weaker rule that goes
//     with it.
//   - Violations come in a fixed order, and neighbouring ids make one violation.
package verify
