package sock

// largestPiece is how much of one large frame is written at a time, so that
// the queue's accounting follows what the kernel has taken.
const largestPiece = 64 << 10

// frameQueue holds the frames of a connection that wait to be written. The zero
// value is empty and owns no memory; neither does one with a single frame.
type frameQueue struct {
	frames [][]byte
	head   int
	one    [1][]byte
}

func (q *frameQueue) empty() bool { return q.head == len(q.frames) }

func (q *frameQueue) len() int { return len(q.frames) - q.head }

// several reports whether take may need a buffer.
func (q *frameQueue) several() bool { return q.len() > 1 }

func (q *frameQueue) push(frame []byte) {
	switch {
	case q.frames == nil:
		q.frames = q.one[:0]
	case cap(q.frames) == len(q.one):
		q.frames = append(make([][]byte, 0, 4), q.frames...)
	}
	q.frames = append(q.frames, frame)
}

// take removes the bytes to write next: as many whole frames as fit into buf,
// copied there, or a piece of the first frame itself when it stands alone or is
// larger than buf. The queue must not be empty; buf may be nil unless several.
func (q *frameQueue) take(buf *chunk) []byte {
	first := q.frames[q.head]
	if len(first) > largestPiece {
		q.frames[q.head] = first[largestPiece:]
		return first[:largestPiece]
	}
	if !q.several() || len(first) > len(buf) {
		q.drop()
		return first
	}
	n := 0
	for !q.empty() && len(q.frames[q.head]) <= len(buf)-n {
		n += copy(buf[n:], q.frames[q.head])
		q.drop()
	}
	return buf[:n]
}

func (q *frameQueue) drop() {
	q.frames[q.head] = nil
	q.head++
	if q.empty() {
		*q = frameQueue{}
	}
}
