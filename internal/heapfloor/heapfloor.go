// Package heapfloor keeps the garbage collector from running all the time in a
// process whose heap is small: a node with few clients and many messages would
// collect several times a second, and each time some clients wait for it. It
// imports nothing of ours.
package heapfloor

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// Bytes is the size below which the heap is not collected. It adds nothing to a
// process that has half of it in use: its collector waits for as much anyway.
const Bytes = 32 << 20

// usual is Go's GOGC.
const usual = 100

// Keep makes the collector wait for the heap to reach Bytes, for the rest of the
// process. It does nothing where GOGC is set. It is for programs, which may
// decide for their process; call it once.
func Keep() {
	if os.Getenv("GOGC") == "" {
		k := &keeper{percent: usual}
		k.adjust()
	}
}

// keeper sets the percentage anew after each collection.
type keeper struct {
	samples [3]metrics.Sample
	percent int
}

// adjust runs at the beginning, and by the one goroutine of finalizers.
func (k *keeper) adjust() {
	for i, name := range []string{"/gc/scan/heap:bytes", "/gc/heap/live:bytes", "/gc/scan/total:bytes"} {
		k.samples[i].Name = name
	}
	metrics.Read(k.samples[:])
	scanned, live, total := k.samples[0].Value.Uint64(), k.samples[1].Value.Uint64(), k.samples[2].Value.Uint64()
	// Stacks and globals count as the live heap does (runtime/mgcpacer.go).
	if p := percentage(live, live+total-scanned); math.Abs(float64(p-k.percent)) > float64(k.percent)/10 {
		k.percent = p
		debug.SetGCPercent(p)
	}
	// Unreachable at once, so the next collection ends it.
	runtime.SetFinalizer(new(mark), func(*mark) { k.adjust() })
}

// mark is large enough to have a place of its own: what shares one might live.
type mark [32]byte

// percentage is the GOGC with which live bytes may grow to Bytes.
func percentage(live, base uint64) int {
	if base == 0 || live >= Bytes {
		return usual
	}
	return int(max(usual, min((Bytes-live)*100/base, 10_000)))
}
