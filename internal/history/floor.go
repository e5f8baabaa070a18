package history

// A floor is an id of the outbox up to which no row can appear any more. Drains
// need not look there, where all that was deleted remains until it is vacuumed:
// that may be long, while somebody reads in one long transaction.
//
// A transaction takes its number before the ids of its rows. So once every
// transaction has ended that had a number when an id was seen, all rows up to
// that id are there or never will be.
type floor struct {
	id int64

	newest int64 // the newest id drained so far
	mark   int64 // the next floor, once
	next   int64 // all transactions with numbers below this have ended, 0: no mark
	ended  bool  // they have
}

// observed takes the oldest running transaction's number and the first unused.
func (f *floor) observed(oldest, next int64) {
	switch {
	case f.newest == f.id: // nothing new
	case f.next == 0:
		f.mark, f.next = f.newest, next
	case oldest >= f.next:
		f.ended = true
	}
}

// drained notes the newest id of a drain, 0 of an empty one, and whether it took
// everything there was.
func (f *floor) drained(newest int64, all bool) {
	f.newest = max(f.newest, newest)
	if f.ended && all {
		f.id, f.next, f.ended = f.mark, 0, false
	}
}
