package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// journal prints lines with the time since the start.
type journal struct {
	start time.Time

	mu  sync.Mutex
	out io.Writer
}

func (j *journal) printf(format string, arguments ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	fmt.Fprintf(j.out, "%7.2fs  %s\n", time.Since(j.start).Seconds(), fmt.Sprintf(format, arguments...))
}
