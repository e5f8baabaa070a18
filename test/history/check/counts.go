package main

import "sync/atomic"

// counts are what the summary tells, beside the records.
type counts struct {
	delivered  atomic.Int64
	reconnects atomic.Int64 // of subscribers
	joinErrors atomic.Int64
	timeouts   atomic.Int64 // connections given up for want of an answer
	repeats    atomic.Int64 // of publishes that were not acknowledged
	rollbacks  atomic.Int64 // of transactions, on purpose
	refusals   atomic.Int64 // error replies to publishes
}
