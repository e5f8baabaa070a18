// Package imports holds the tests of the repository's shape: which package may
// import which, how long a file may be, and what a file may not be called. It
// imports nothing of ours; it asks `go list`.
package imports
