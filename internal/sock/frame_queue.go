package sock

// largestPiece is how much of one large frame is written at a time, so that
// the queue's accounting follows what the kernel has taken.
const largestPiece = 64 << 10

// frameQueue holds the frames of a connection that wait to be written. The zero
// value is empty and owns no memory.
type frameQueue struct {
	frames [][]byte
	head   int
}

func (q *frameQueue) empty() bool { return q.head == len(q.frames) }

func (q *frameQueue) push(frame []byte) { q.frames = append(q.frames, frame) }

// take removes the bytes to write next: as many whole frames as fit into buf,
// copied there, or a piece of the first frame itself when it stands alone or is
// larger than buf. The queue must not be empty.
func (q *frameQueue) take(buf []byte) []byte {
	first := q.frames[q.head]
	if len(first) > largestPiece {
		q.frames[q.head] = first[largestPiece:]
		return first[:largestPiece]
	}
	if len(first) > len(buf) || q.head == len(q.frames)-1 {
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
