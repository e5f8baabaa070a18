package history

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// errLost is what a broken connection looks like.
var errLost = errors.New("unexpected EOF")

// A fakeServer stands in for Postgres where faults are to be injected, or time
// is to stand still. The real one is tested in history_test.go.
type fakeServer struct {
	mu         sync.Mutex
	generation int64
	topics     map[string]*fakeTopic
	down       bool
	busy       map[string]bool
	delay      time.Duration
	before     func(kind string, batch []entry) error // of a statement, which it refuses
	lose       func(kind string) bool                 // the result of a statement
	statements map[string]int
	batches    [][]entry
	waited     int // appends that waited for locks
}

type fakeTopic struct {
	id    int64
	epoch string
	rows  []row // ids from 1
	gone  int64 // ids up to it are deleted by retention
	keys  map[string]int64
}

func newFakeServer() *fakeServer {
	return &fakeServer{generation: 1, topics: map[string]*fakeTopic{}, busy: map[string]bool{}, statements: map[string]int{}}
}

func (s *fakeServer) use(ctx context.Context, f func(database, int64) error) error {
	s.mu.Lock()
	down, generation := s.down, s.generation
	s.mu.Unlock()
	if down {
		return fmt.Errorf("%w: connection refused", errNotConnected)
	}
	return f(&fakeDatabase{s}, generation)
}

// set changes something of the server.
func (s *fakeServer) set(change func(*fakeServer)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *fakeServer) count(kind string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.statements[kind]
}

// topic returns a topic, which it creates.
func (s *fakeServer) topic(name string) *fakeTopic {
	t := s.topics[name]
	if t == nil {
		t = &fakeTopic{id: int64(len(s.topics) + 1), epoch: fmt.Sprint("epoch-", len(s.topics)), keys: map[string]int64{}}
		s.topics[name] = t
	}
	return t
}

func (s *fakeServer) byID(id int64) (string, *fakeTopic) {
	for name, t := range s.topics {
		if t.id == id {
			return name, t
		}
	}
	return "", nil
}

// publish stores messages as another node would.
func (s *fakeServer) publish(topic string, n int) (topicID int64, rows []row) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topic(topic)
	for range n {
		rows = append(rows, t.store(entry{event: "new_msg", payload: fmt.Appendf(nil, `{"n":%d}`, len(t.rows)+1)}))
	}
	return t.id, rows
}

func (s *fakeServer) head(topic string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(len(s.topic(topic).rows))
}

func (t *fakeTopic) store(e entry) row {
	r := row{
		id: int64(len(t.rows) + 1), event: e.event, payload: e.payload, refersTo: e.refersTo,
		insertedAt: time.Now().Truncate(time.Microsecond),
	}
	if e.event == EventDeleted {
		for i, other := range t.rows {
			if other.refersTo == e.refersTo && other.event == EventUpdated {
				t.rows[i].deleted, t.rows[i].payload = true, []byte("{}")
			}
		}
		t.rows[e.refersTo-1].deleted, t.rows[e.refersTo-1].payload = true, []byte("{}")
	} else if e.refersTo != 0 {
		t.rows[e.refersTo-1].payload = e.payload
	}
	t.rows = append(t.rows, r)
	return r
}

func (t *fakeTopic) head() int64 { return int64(len(t.rows)) }

// read returns what a statement sees.
func (t *fakeTopic) read(after int64, maxCount int64) rows {
	after = max(after, t.gone)
	if maxCount > 0 {
		after = max(after, t.head()-maxCount)
	}
	p := rows{topicID: t.id, head: t.head(), oldest: t.gone + 1}
	if maxCount > 0 {
		p.oldest = max(p.oldest, t.head()-maxCount+1)
	}
	if after < t.head() {
		p.rows = slices.Clone(t.rows[after:])
	}
	return p
}

// A fakeDatabase is a connection to a fakeServer.
type fakeDatabase struct{ *fakeServer }

// statement runs a statement with the faults that are ordered.
func (s *fakeDatabase) statement(ctx context.Context, kind string, batch []entry, run func()) error {
	s.mu.Lock()
	s.statements[kind]++
	before, lose, delay := s.fakeServer.before, s.lose, s.delay
	s.mu.Unlock()
	if before != nil {
		if err := before(kind, batch); err != nil {
			return err
		}
	}
	s.mu.Lock()
	run()
	s.mu.Unlock()
	if delay > 0 && !pause(ctx, delay) {
		return ctx.Err()
	}
	if lose != nil && lose(kind) {
		return errLost
	}
	return nil
}

func (s *fakeDatabase) ensureTopics(ctx context.Context, names []string) (found map[string]topicState, err error) {
	err = s.statement(ctx, "ensure", nil, func() {
		for _, name := range names {
			s.topic(name)
		}
		found = s.states(names)
	})
	return found, err
}

func (s *fakeDatabase) findTopics(ctx context.Context, names []string) (found map[string]topicState, err error) {
	err = s.statement(ctx, "topics", nil, func() { found = s.states(names) })
	return found, err
}

func (s *fakeDatabase) states(names []string) map[string]topicState {
	found := map[string]topicState{}
	for _, name := range names {
		if t := s.topics[name]; t != nil {
			found[name] = topicState{id: t.id, name: name, head: t.head(), epoch: t.epoch}
		}
	}
	return found
}

func (s *fakeDatabase) heads(ctx context.Context, ids []int64) (heads map[int64]int64, err error) {
	heads = map[int64]int64{}
	err = s.statement(ctx, "heads", nil, func() {
		for _, id := range ids {
			if _, t := s.byID(id); t != nil {
				heads[id] = t.head()
			}
		}
	})
	return heads, err
}

func (s *fakeDatabase) append(ctx context.Context, batch []entry, wait bool) (verdicts []verdict, at time.Time, err error) {
	for wait {
		s.mu.Lock()
		if name, _ := s.byID(batch[0].topicID); !s.busy[name] {
			s.waited++
			s.mu.Unlock()
			break
		}
		s.mu.Unlock()
		if !pause(ctx, time.Millisecond) {
			return nil, at, ctx.Err()
		}
	}
	err = s.statement(ctx, "append", batch, func() {
		s.batches = append(s.batches, batch)
		for _, e := range batch {
			verdicts = append(verdicts, s.appendOne(e, wait))
		}
		at = time.Now().Truncate(time.Microsecond)
	})
	return verdicts, at, err
}

func (s *fakeDatabase) appendOne(e entry, wait bool) verdict {
	name, t := s.byID(e.topicID)
	switch {
	case t == nil:
		return verdict{status: statusNoTopic}
	case s.busy[name] && !wait:
		return verdict{status: statusBusy}
	case e.key != "" && t.keys[e.key] != 0:
		return verdict{statusDuplicate, t.keys[e.key]}
	case e.refersTo > t.head() || e.refersTo > 0 && (t.rows[e.refersTo-1].deleted || t.rows[e.refersTo-1].refersTo != 0):
		return verdict{status: statusNotFound}
	}
	r := t.store(e)
	if e.key != "" {
		t.keys[e.key] = r.id
	}
	return verdict{statusStored, r.id}
}

func (s *fakeDatabase) after(ctx context.Context, readings []reading, maxBytes int) (pages []rows, err error) {
	err = s.statement(ctx, "after", nil, func() {
		for _, r := range readings {
			_, t := s.byID(r.topicID)
			if t == nil {
				pages = append(pages, rows{topicID: r.topicID})
				continue
			}
			p := t.read(r.after, r.maxCount)
			n, bytes := 0, 0
			for n < len(p.rows) && n < r.limit {
				if bytes += len(p.rows[n].payload); bytes > maxBytes && n > 0 {
					break
				}
				n++
			}
			p.rows = p.rows[:n]
			p.more = n > 0 && p.rows[n-1].id < p.head
			pages = append(pages, p)
		}
	})
	return pages, err
}

func (s *fakeDatabase) before(ctx context.Context, r reading, before int64, _ int) (p rows, err error) {
	err = s.statement(ctx, "before", nil, func() {
		p = rows{topicID: r.topicID}
		if _, t := s.byID(r.topicID); t != nil {
			p = t.read(0, r.maxCount)
			p.rows = slices.DeleteFunc(p.rows, func(r row) bool { return r.id >= before })
			p.rows = p.rows[max(0, len(p.rows)-r.limit):]
			p.more = len(p.rows) > 0 && p.rows[0].id > p.oldest
		}
	})
	return p, err
}

func (s *fakeDatabase) seen(ctx context.Context, _ int64, _ string, _ int64) (int64, error) {
	return 0, s.statement(ctx, "seen", nil, func() {})
}

func (s *fakeDatabase) unread(ctx context.Context, _ string, _ []string) (map[string]int64, error) {
	return nil, s.statement(ctx, "unread", nil, func() {})
}

func (s *fakeDatabase) generation(ctx context.Context) (generation int64, err error) {
	err = s.statement(ctx, "generation", nil, func() { generation = s.fakeServer.generation })
	return generation, err
}

func (s *fakeDatabase) register(ctx context.Context, _ patterns) error {
	return s.statement(ctx, "register", nil, func() {})
}

// fakePool checks what real connections are checked for.
type fakePool struct {
	server      *fakeServer
	generations *generations
}

func (p *fakePool) use(ctx context.Context, f func(database, int64) error) error {
	return p.server.use(ctx, func(db database, generation int64) error {
		p.generations.found(generation)
		return f(db, generation)
	})
}

// newFake returns a History on a fake server, to be run.
func newFake(server *fakeServer, config Config) *History {
	config.Pool, config.DirectURL = &pgxpool.Pool{}, "postgres://unused"
	if config.Patterns == nil {
		config.Patterns = []Pattern{{Pattern: "room:*"}}
	}
	config, err := config.withDefaults()
	if err != nil {
		panic(err)
	}
	patterns, err := newPatterns(config.Patterns)
	if err != nil {
		panic(err)
	}
	h := &History{config: config, patterns: patterns, metrics: newMetrics()}
	generations := &generations{}
	h.assemble(&fakePool{server, generations}, generations)
	return h
}
