package realtime

import "sync"

// fewItems is the room of a mailbox that is used again.
const fewItems = 4

// items are the mailboxes of channels that are idle: those have none.
type items struct{ spare sync.Pool }

// take returns an empty mailbox.
func (p *items) take() []item {
	if few, ok := p.spare.Get().(*[fewItems]item); ok {
		return few[:0]
	}
	return make([]item, 0, fewItems)
}

// put takes one back, which nobody may look at any more. nil is allowed.
func (p *items) put(done []item) {
	if cap(done) == fewItems {
		clear(done)
		p.spare.Put((*[fewItems]item)(done[:fewItems]))
	}
}
