package history

// An asking is what a feed knew when the database was asked.
type asking struct {
	feed *feed
	ref  topicRef
	last int64
}

func (f *feed) asking() asking {
	ref, _ := f.state()
	return asking{feed: f, ref: ref, last: f.last.Load()}
}

// found handles what the topics table said.
func (f *feed) found(asked asking, state topicState, generation int64) {
	ref := topicRef{id: state.id, epoch: state.epoch, generation: generation}
	f.mu.Lock()
	known, begun := f.ref, f.begun
	if generation < f.feeds.generation() || known != asked.ref {
		f.mu.Unlock()
		f.feeds.sweep(retryPause)
		return
	}
	f.ref, f.stale = ref, false
	f.mu.Unlock()

	switch {
	case !begun:
		f.startAt(state.head)
		f.mu.Lock()
		f.begun = true
		f.mu.Unlock()
		close(f.started)
	case known.generation != generation, known.epoch != "" && known.epoch != ref.epoch,
		known.id != 0 && known.id != ref.id, state.head < asked.last:
		f.reset(state.head)
	default:
		f.sawHead(state.head)
	}
	f.releaseHeld()
}

// reset begins anew where ids lost their meaning.
func (f *feed) reset(head int64) {
	f.feeds.metrics.resets.Inc()
	clear(f.held)
	f.heldSize, f.known = 0, 0
	f.startAt(head)
	f.deliver()
	f.feeds.config.Reset(f.topic)
	f.feeds.sweep(0) // what was held may have been of the new stream
}

// startAt makes the next message the one after head.
func (f *feed) startAt(head int64) {
	f.last.Store(head)
	f.mu.Lock()
	before := f.ring.bytes
	f.ring.restart(head)
	f.oldest = 0
	grown := f.ring.bytes - before
	f.mu.Unlock()
	f.feeds.grow(grown)
	f.forgetPassed()
}

// swept handles the head that a sweep found, when last had been delivered.
func (f *feed) swept(topicID, head, last int64) {
	ref, certain := f.state()
	if !certain || ref.id != topicID {
		return
	}
	if head < last {
		f.feeds.find(f.topic)
		return
	}
	f.sawHead(head)
}

// sawHead makes what is missing up to a head a hole: the notifications of it are
// on their way, or lost.
func (f *feed) sawHead(head int64) { f.known = max(f.known, head) }

func (f *feed) sawOldest(oldest int64) {
	f.mu.Lock()
	f.oldest = max(f.oldest, oldest)
	f.mu.Unlock()
}

// becomeStale holds everything back until the topic is found again: the database
// turned out to be another one.
func (f *feed) becomeStale() {
	f.mu.Lock()
	f.stale = true
	f.mu.Unlock()
}
