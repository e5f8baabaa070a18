// Package jobsui serves River UI, the web interface of the job queue, to those
// who know a token. A program that does not import it does not link it.
//
// It imports the root package and River UI, and owns no goroutine.
//
// Invariants:
//   - Nothing is served without the token, neither the interface's files nor
//     what it asks for.
//   - However many look, the database is asked by one request at a time: River's
//     connections are there for the jobs.
package jobsui
