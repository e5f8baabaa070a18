// Package worker runs short tasks on goroutines that stay for the next task, so
// that their stacks need not grow anew for each. It imports nothing of ours.
//
// A task never waits for another: where no worker is idle, a new one is made.
package worker
