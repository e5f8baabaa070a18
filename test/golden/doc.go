// Package golden replays transcripts recorded from a running Phoenix 1.8
// against a running server and compares every frame, close code, response and
// silence.
//
// It owns the transcripts (testdata), the replayer and a minimal HTTP and
// WebSocket client over net.Conn; the client is its own so that nothing
// between the wire and the comparison repairs or hides what the server does.
// It also mints its own Phoenix tokens. It imports only the standard library,
// and nothing of the server: an error in the server's codecs cannot cancel
// itself out here.
//
// Invariants:
//
//   - The transcripts are recordings. They are never edited to make a case pass.
//   - The frames of one connection are compared in order; those of several
//     connections have no order among each other.
//   - Every wait has a deadline.
//
// The command in replay/ does the same from a shell:
//
//	go run ./test/golden/replay -base http://127.0.0.1:4400 [case...]
package golden
