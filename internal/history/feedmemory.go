package history

import "time"

// page returns messages from memory; false where the database has to be asked.
// What is beyond the last message delivered here may exist, so a reader that is
// beyond it is sent to the database too.
func (f *feed) page(after int64, limit, maxBytes int) (Page, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.readable() {
		return Page{}, false
	}
	page := f.emptyPage()
	if f.ref.id == 0 {
		return page, after == 0
	}
	var ok bool
	page.Messages, page.More, ok = f.ring.page(max(after, page.Oldest-1), limit, maxBytes)
	return page, ok && after <= f.ring.head
}

// newest returns the newest messages from memory; false where the database has
// to be asked.
func (f *feed) newest(n, maxBytes int) (Page, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.readable() || f.ref.id != 0 && f.oldest == 0 {
		return Page{}, false
	}
	page := f.emptyPage()
	if f.ref.id == 0 {
		return page, true
	}
	var ok bool
	page.Messages, ok = f.ring.newest(n, maxBytes, page.Oldest)
	page.More = len(page.Messages) > 0 && page.Messages[0].ID > page.Oldest
	return page, ok
}

// readable tells whether the ring may be read, notes that it was, and takes out
// what is too old. f.mu is held, as for the following.
func (f *feed) readable() bool {
	f.used = time.Now()
	if f.pattern.MaxAge > 0 {
		before := f.ring.bytes
		f.ring.expire(f.used.Add(-f.pattern.MaxAge))
		f.feeds.ringBytes.Add(int64(f.ring.bytes - before))
	}
	return f.begun && !f.stale && (f.ref.epoch != "" || f.ref.id == 0)
}

func (f *feed) emptyPage() Page {
	p := Page{Head: f.ring.head, Oldest: max(f.oldest, 1), Epoch: f.ref.epochString()}
	if f.pattern.MaxCount > 0 {
		p.Oldest = max(p.Oldest, p.Head-f.pattern.MaxCount+1)
	}
	return p
}

// fill keeps what was read from the database for others.
func (f *feed) fill(ref topicRef, after, covered int64, page Page) {
	f.mu.Lock()
	before := f.ring.bytes
	if f.begun && !f.stale && f.ref == ref {
		f.oldest = max(f.oldest, page.Oldest)
		f.ring.prepend(after, covered, page.Head, page.Messages)
	}
	grown := f.ring.bytes - before
	f.mu.Unlock()
	f.feeds.grow(grown)
}

func (f *feed) lastUse() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.used
}

// emptyRing returns the bytes that it freed.
func (f *feed) emptyRing() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	freed := f.ring.bytes
	f.ring.restart(f.ring.head)
	return freed
}

// retire ends the feed unless it is just delivering: it will never deliver
// again, so that another one of the topic may begin. It returns the bytes that
// it freed.
func (f *feed) retire() (freed int, ok bool) {
	if !f.turn.TryLock() {
		return 0, false
	}
	defer f.turn.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.retired = true
	freed = f.ring.bytes
	f.ring.restart(f.ring.head)
	f.ring.maxMessages = 0 // whatever is still read for it
	return freed, true
}
