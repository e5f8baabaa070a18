package harness

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// A Journal prints lines with the time since the start. It may be used from any
// goroutine.
type Journal struct {
	start time.Time

	mu  sync.Mutex
	out io.Writer
}

// NewJournal starts now.
func NewJournal(out io.Writer) *Journal { return &Journal{start: time.Now(), out: out} }

// Printf prints one line.
func (j *Journal) Printf(format string, arguments ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	fmt.Fprintf(j.out, "%7.2fs  %s\n", time.Since(j.start).Seconds(), fmt.Sprintf(format, arguments...))
}
