package history

import (
	"cmp"
	"context"
	"math"
	"slices"
)

// maxNewest bounds the statements of a round that read newest messages.
const maxNewest = 8

// A pageRequest is a page, or a hole, that somebody waits for.
type pageRequest struct {
	ctx     context.Context // ends when nobody waits any more
	topic   string          // "" of holes
	pattern *Pattern
	ref     topicRef
	reading reading
	alone   bool // a group did not reach it

	// done is called once and must not block. Of a hole it gets the rows, of
	// others the page.
	done func(rows, *Page, error)
}

// A group is requests of one topic that one reading serves.
type group struct {
	reading  reading
	requests []*pageRequest // ascending
}

// hole reads rows of a topic as they are, with no regard to its pattern.
func (r *reader) hole(hole reading, done func(rows, error)) {
	request := &pageRequest{ctx: context.Background(), reading: hole, done: func(p rows, _ *Page, err error) { done(p, err) }}
	if err := r.put(func(w *waiting) { w.pages = append(w.pages, request) }); err != nil {
		done(rows{}, err)
	}
}

// page reads messages above after.
func (r *reader) page(ctx context.Context, topic string, pattern *Pattern, ref topicRef, after int64, limit int) (Page, error) {
	type answer struct {
		page *Page
		err  error
	}
	answered := make(chan answer, 1)
	request := &pageRequest{
		ctx: ctx, topic: topic, pattern: pattern, ref: ref,
		reading: reading{topicID: ref.id, after: after, limit: limit, maxCount: pattern.MaxCount},
		done:    func(_ rows, p *Page, err error) { answered <- answer{p, err} },
	}
	if err := r.put(func(w *waiting) { w.pages = append(w.pages, request) }); err != nil {
		return Page{}, err
	}
	select {
	case <-ctx.Done():
		return Page{}, readError(ctx.Err())
	case a := <-answered:
		if a.err != nil {
			return Page{}, a.err
		}
		return *a.page, nil
	}
}

// groupPages forms the groups of a round, and returns the requests left for the
// next ones.
func groupPages(requests []*pageRequest) (groups []*group, left []*pageRequest) {
	slices.SortStableFunc(requests, func(a, b *pageRequest) int {
		return cmp.Or(cmp.Compare(a.reading.topicID, b.reading.topicID), cmp.Compare(a.reading.after, b.reading.after))
	})
	for _, q := range requests {
		if q.ctx.Err() != nil {
			continue
		}
		if n := len(groups); n > 0 && groups[n-1].admits(q) {
			groups[n-1].add(q)
			continue
		}
		if len(groups) == maxReadings {
			left = append(left, q)
			continue
		}
		groups = append(groups, &group{reading: q.reading, requests: []*pageRequest{q}})
	}
	return groups, left
}

// admits tells whether one page can serve the request too.
func (g *group) admits(q *pageRequest) bool {
	first := g.requests[0]
	if first.topic == "" || q.topic != first.topic || q.ref != first.ref {
		return false
	}
	if q.alone || first.alone {
		return q.reading.after == first.reading.after
	}
	return q.reading.after+int64(q.reading.limit) <= g.reading.after+maxPageSize
}

func (g *group) add(q *pageRequest) {
	g.requests = append(g.requests, q)
	g.reading.limit = max(g.reading.limit, int(q.reading.after-g.reading.after)+q.reading.limit)
}

// servePages answers what memory holds by now, and asks for the rest.
func (r *reader) servePages(ctx context.Context, groups []*group) {
	groups = slices.DeleteFunc(groups, func(g *group) bool {
		g.requests = slices.DeleteFunc(g.requests, r.fromMemory)
		return len(g.requests) == 0
	})
	if len(groups) == 0 {
		return
	}
	readings := make([]reading, len(groups))
	for i, g := range groups {
		readings[i] = g.reading
	}
	var pages []rows
	err := r.try(ctx, func(ctx context.Context, db database, _ int64) (err error) {
		pages, err = db.after(ctx, readings, pageBytes)
		return err
	})
	for i, g := range groups {
		switch {
		case err != nil:
			for _, q := range g.requests {
				q.done(rows{}, nil, err)
			}
		case g.requests[0].topic == "":
			g.requests[0].done(pages[i], nil, nil)
		default:
			r.answer(g, pages[i])
		}
	}
}

func (r *reader) fromMemory(q *pageRequest) bool {
	if q.topic == "" {
		return false
	}
	f := r.feeds.get(q.topic)
	if f == nil {
		return false
	}
	page, ok := f.page(q.reading.after, q.reading.limit, pageBytes)
	if ok {
		r.feeds.metrics.fromRing.Inc()
		q.done(rows{}, &page, nil)
	}
	return ok
}

// answer gives each request of a group its part of the page.
func (r *reader) answer(g *group, found rows) {
	first := g.requests[0]
	whole := r.makePage(first.topic, first.pattern, first.ref, found)
	if found.exists() {
		r.keep(first.topic, first.ref, g.reading.after, whole, false)
	}
	var again []*pageRequest
	for _, q := range g.requests {
		page := whole
		start, _ := slices.BinarySearchFunc(whole.Messages, q.reading.after+1, byID)
		page.Messages = whole.Messages[start:]
		if len(page.Messages) == 0 && whole.More {
			q.alone = true // the bytes were used up before
			again = append(again, q)
			continue
		}
		if len(page.Messages) > q.reading.limit {
			page.Messages = page.Messages[:q.reading.limit:q.reading.limit]
		}
		n := len(page.Messages)
		page.More = n > 0 && page.Messages[n-1].ID < page.Head
		r.feeds.metrics.fromDatabase.Inc()
		q.done(rows{}, &page, nil)
	}
	if len(again) > 0 {
		r.putAgain(again)
	}
}

// putAgain queues requests whose turn has passed without an answer.
func (r *reader) putAgain(requests []*pageRequest) {
	r.mu.Lock()
	closed := r.closed
	if !closed {
		r.waiting.pages = append(r.waiting.pages, requests...)
		r.recount()
	}
	r.mu.Unlock()
	if closed {
		for _, q := range requests {
			q.done(rows{}, nil, ErrClosed)
		}
	}
}

// exists reports whether there is such a topic.
func (p rows) exists() bool { return p.oldest > 0 }

// makePage makes messages of rows.
func (r *reader) makePage(topic string, pattern *Pattern, ref topicRef, found rows) Page {
	if !found.exists() { // any more
		r.topics.forget(topic)
		return Page{Oldest: 1, Epoch: topicRef{generation: ref.generation}.epochString()}
	}
	page := Page{More: found.more, Head: found.head, Oldest: found.oldest, Epoch: ref.epochString()}
	page.Messages = make([]*Message, len(found.rows))
	for i, row := range found.rows {
		page.Messages[i] = r.feeds.message(topic, pattern, row)
	}
	return page
}

// keep puts a page that was read into the topic's ring, and notes its head. It
// reaches from after up to its last message, or up to the head if toHead.
func (r *reader) keep(topic string, ref topicRef, after int64, page Page, toHead bool) {
	f := r.feeds.get(topic)
	if f == nil {
		return
	}
	covered := page.Head
	if n := len(page.Messages); n > 0 && page.More && !toHead {
		covered = page.Messages[n-1].ID
	}
	f.fill(ref, after, covered, page)
	if page.Head > f.last.Load() {
		f.post(func() {
			if now, certain := f.state(); certain && now == ref {
				f.known = max(f.known, page.Head)
			}
		})
	}
}

// A newestKey is a reading of the messages before an id; all who want the same
// share it.
type newestKey struct {
	topic  string
	ref    topicRef
	before int64
	limit  int
}

type newestRequest struct {
	pattern *Pattern
	done    func(Page, error)
}

// before reads the limit newest messages below an id; math.MaxInt64 reads the
// newest of all.
func (r *reader) before(ctx context.Context, topic string, pattern *Pattern, ref topicRef, before int64, limit int) (Page, error) {
	type answer struct {
		page Page
		err  error
	}
	answered := make(chan answer, 1)
	key := newestKey{topic: topic, ref: ref, before: before, limit: limit}
	request := &newestRequest{pattern: pattern, done: func(p Page, err error) { answered <- answer{p, err} }}
	if err := r.put(func(w *waiting) { w.newest[key] = append(w.newest[key], request) }); err != nil {
		return Page{}, err
	}
	select {
	case <-ctx.Done():
		return Page{}, readError(ctx.Err())
	case a := <-answered:
		return a.page, a.err
	}
}

func (r *reader) serveNewest(ctx context.Context, key newestKey, requests []*newestRequest) {
	var page Page
	var err error
	pattern := requests[0].pattern
	f := r.feeds.get(key.topic)
	found := false
	if f != nil && key.before == math.MaxInt64 {
		page, found = f.newest(key.limit, pageBytes)
	}
	if !found {
		var read rows
		err = r.try(ctx, func(ctx context.Context, db database, _ int64) (err error) {
			read, err = db.before(ctx, reading{topicID: key.ref.id, limit: key.limit, maxCount: pattern.MaxCount}, key.before, pageBytes)
			return err
		})
		if err == nil {
			page = r.makePage(key.topic, pattern, key.ref, read)
		}
		if read.exists() && key.before == math.MaxInt64 {
			after := page.Head
			if len(page.Messages) > 0 {
				after = page.Messages[0].ID - 1
			}
			r.keep(key.topic, key.ref, after, page, true)
		}
	}
	for _, q := range requests {
		q.done(page, err)
	}
}
