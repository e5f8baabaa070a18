// Package floor is the program that only moves bytes, which the server is
// compared with: it writes each frame that a client sends to all its clients,
// by one write(2) each, or echoes it.
//
// It imports nothing of the project and works on Linux only. It runs as a
// process of its own, so that its CPU is counted as the server's is, until its
// standard input ends.
package floor
