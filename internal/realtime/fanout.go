package realtime

import (
	"runtime"
	"slices"
	"sync"

	"github.com/trunkline/trunkline/internal/wire"
)

const (
	// maxGroup bounds the broadcasts, and groupBytes about the payloads, that go
	// to a subscriber in one piece.
	maxGroup   = 64
	groupBytes = 64 << 10
)

// A sweep goes round the chunks of a large topic as long as there are broadcasts
// to be delivered. One that comes meanwhile gets in where the sweep is, and out
// when it has come round. So a subscriber gets all that are under way in one
// write, which is what a fan-out costs; nobody waits for more to come.
type sweep struct {
	mu      sync.Mutex
	changed sync.Cond // a fan-out is complete, or a worker has left
	active  []*fanOut // the oldest first
	last    *chunk    // was taken last
	workers int
	group   *group // of the last step, for the next
}

// A fanOut is a broadcast on its way round.
type fanOut struct {
	b         *Broadcast
	left      []*chunk // to be taken
	under     int      // taken, and not done yet
	delivered int
}

func (f *fanOut) complete() bool { return len(f.left) == 0 && f.under == 0 }

// dispatch delivers b to the local subscribers and returns when all have it. Of
// broadcasts that go out together one counts for all.
func (h *hub) dispatch(b *Broadcast) (delivered int) {
	t, chunks, functions := h.find(b.Topic)
	switch {
	case t == nil:
		return 0
	case len(chunks) == 1:
		delivered = chunks[0].each(func(s *subscription) int { return s.deliver(b) })
	case len(chunks) > 1:
		delivered = t.sweep.ride(b, chunks)
	}
	// Not within the sweep: they may broadcast themselves.
	for _, s := range functions {
		s.fn(b)
	}
	return delivered + len(functions)
}

// ride has the broadcast go round, and works on the sweep until it has.
func (s *sweep) ride(b *Broadcast, chunks []*chunk) int {
	var helpers sync.WaitGroup
	defer helpers.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed.L == nil {
		s.changed.L = &s.mu
	}
	f := &fanOut{b: b, left: s.fromHere(chunks)}
	s.active = append(s.active, f)
	for n := s.workers + 1; n < min(runtime.GOMAXPROCS(0), len(chunks)); n++ {
		helpers.Go(func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.work(f)
		})
	}
	for !f.complete() {
		if !s.work(f) {
			s.changed.Wait()
		}
	}
	return f.delivered
}

// work takes steps until f is complete or nothing is left to be taken. It is
// false, and does nothing, if there is nothing, or if there are enough workers.
func (s *sweep) work(f *fanOut) bool {
	if f.complete() || !s.mayWork() {
		return false
	}
	s.workers++
	for !f.complete() && s.step() {
	}
	s.workers--
	s.changed.Broadcast()
	return true
}

// mayWork leaves half of the processors to others while several broadcasts are
// under way: a round that takes longer carries more of them, so it costs less.
func (s *sweep) mayWork() bool {
	most := runtime.GOMAXPROCS(0)
	if len(s.active) > 1 {
		most = max(1, most/2)
	}
	return s.workers < most && slices.ContainsFunc(s.active, func(f *fanOut) bool { return len(f.left) > 0 })
}

// fromHere is a copy of chunks that begins where the sweep goes next.
func (s *sweep) fromHere(chunks []*chunk) []*chunk {
	next := slices.Index(chunks, s.last) + 1
	return append(slices.Clone(chunks[next:]), chunks[:next]...)
}

// step takes a chunk with all that have to go there, false if there is none.
// s.mu is held, but while it delivers.
func (s *sweep) step() bool {
	i := slices.IndexFunc(s.active, func(f *fanOut) bool { return len(f.left) > 0 })
	if i < 0 {
		return false
	}
	c := s.active[i].left[0]
	s.last = c
	var buf [maxGroup]*fanOut
	together, bytes := buf[:0], 0
	for _, f := range s.active[i:] {
		at := slices.Index(f.left, c)
		if at < 0 {
			continue
		}
		if at == 0 {
			f.left = f.left[1:]
		} else {
			f.left = slices.Delete(f.left, at, at+1)
		}
		f.under++
		together = append(together, f)
		if bytes += len(f.b.Payload.Data); bytes > groupBytes || len(together) == maxGroup {
			break
		}
	}
	g := s.groupOf(together)
	s.mu.Unlock()
	delivered := 0
	if g == nil {
		b := together[0].b
		delivered = c.each(func(s *subscription) int { return s.deliver(b) })
	} else {
		delivered = c.each(func(s *subscription) int { return s.deliverAll(g) })
	}
	s.mu.Lock()
	together[0].delivered += delivered
	done := false
	for _, f := range together {
		if f.under--; f.complete() {
			s.active = slices.DeleteFunc(s.active, func(x *fanOut) bool { return x == f })
			done = true
		}
	}
	if done {
		s.changed.Broadcast()
	}
	if len(s.active) == 0 {
		s.group = nil
	}
	return true
}

// groupOf is the group of several, that of the last step if it is the same; nil
// for one alone.
func (s *sweep) groupOf(together []*fanOut) *group {
	if len(together) == 1 {
		return nil
	}
	if s.group == nil || !slices.EqualFunc(s.group.broadcasts, together, func(b *Broadcast, f *fanOut) bool { return b == f.b }) {
		s.group = newGroup(together)
	}
	return s.group
}

// each copies the subscribers first, so that nothing is written under the lock.
func (c *chunk) each(deliver func(*subscription) int) (delivered int) {
	var buf [chunkSize]*subscription
	for _, s := range c.copyTo(&buf) {
		delivered += deliver(s)
	}
	return delivered
}

// deliver hands one broadcast to the subscriber, and returns 1 if it took it.
func (s *subscription) deliver(b *Broadcast) int {
	if s.accepts(b) {
		return 1
	}
	return 0
}

func (s *subscription) accepts(b *Broadcast) bool {
	switch {
	case s.socket != nil:
		if b.Event == "disconnect" {
			s.socket.disconnect()
			return true
		}
		return false
	case s.channel == b.from:
		return false
	case !s.member:
		return s.channel.enqueueBroadcast(item{kind: itemInfo, msg: b})
	case b.ID != 0 && s.channel.follower != nil:
		return s.channel.follow(b)
	case s.channel.intercepted(b.Event):
		return s.channel.enqueueBroadcast(item{kind: itemOut, event: b.Event, payload: b.Payload})
	default:
		f, err := b.frame(s.channel.socket.version)
		return err == nil && s.channel.socket.sendEphemeral(f)
	}
}

// A group is several broadcasts of one topic that go out together.
type group struct {
	broadcasts []*Broadcast
	stored     bool       // there are such as go to followers one by one
	senders    []*Channel // who do not get their own
	joined     [2]joinedOnce
}

// joinedOnce is the frames of a group for one serializer, in one piece.
type joinedOnce struct {
	once   sync.Once
	frames []*wire.Frame
	bytes  []byte
}

func newGroup(together []*fanOut) *group {
	g := &group{broadcasts: make([]*Broadcast, len(together))}
	for i, f := range together {
		g.broadcasts[i] = f.b
		g.stored = g.stored || f.b.ID != 0
		if f.b.from != nil {
			g.senders = append(g.senders, f.b.from)
		}
	}
	return g
}

// frames leaves out what cannot be encoded: its broadcaster finds the error.
func (g *group) frames(v wire.Version) ([]*wire.Frame, []byte) {
	j := &g.joined[v-wire.V1]
	j.once.Do(func() {
		for _, b := range g.broadcasts {
			if f, err := b.frame(v); err == nil {
				j.frames = append(j.frames, f)
				j.bytes = append(j.bytes, f.WebSocket()...)
			}
		}
	})
	return j.frames, j.bytes
}

// deliverAll hands a group to the subscriber, in one piece where nothing stands
// against it, and returns how many it took.
func (s *subscription) deliverAll(g *group) (delivered int) {
	if s.member && !g.stored && len(s.channel.intercepts) == 0 && !slices.Contains(g.senders, s.channel) {
		frames, bytes := g.frames(s.channel.socket.version)
		return s.channel.socket.sendAllEphemeral(frames, bytes)
	}
	for _, b := range g.broadcasts {
		delivered += s.deliver(b)
	}
	return delivered
}
