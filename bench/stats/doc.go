// Package stats holds what the load tool measures with: a histogram of
// durations and the resources of other processes as /proc tells them.
//
// It may import nothing of the project. A Histogram belongs to one goroutine.
package stats
