package realtime

import (
	"sync"

	"github.com/trunkline/trunkline/internal/wire"
)

// largestSpare is the largest frame whose memory is used again.
const largestSpare = 4 << 10

// spareFrames are frames of replies that have been written.
type spareFrames struct{ pool sync.Pool }

// take returns nil if there is none.
func (s *spareFrames) take() *wire.Frame {
	f, _ := s.pool.Get().(*wire.Frame)
	return f
}

// put takes one that nobody looks at any more; nil is allowed.
func (s *spareFrames) put(f *wire.Frame) {
	if f != nil && len(f.WebSocket()) <= largestSpare {
		s.pool.Put(f)
	}
}
