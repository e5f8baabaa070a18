package history

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// A feedModel drives a node with one topic at random: notifications of messages
// that others stored arrive in any order, twice or never.
type feedModel struct {
	server  *fakeServer
	node    *node
	topic   string
	log     []row // as it was published
	pending [][]byte
	release func()
	from    int // of the node's deliveries since Follow
	atMost  int64
	lastGap int64 // ids up to it may have been deleted before they were delivered
}

func TestFeedModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type hidden struct{ testing.TB } // rapid would ask a *testing.T for its deadline
		rapid.Check(hidden{t}, func(t *rapid.T) {
			server := newFakeServer()
			n := start(Config{RingMessages: 8, IdleFeeds: -1}, func(c Config) *History { return newFake(server, c) })
			defer n.stop()
			m := &feedModel{server: server, node: n, topic: "room:1"}
			t.Repeat(map[string]func(*rapid.T){
				"store": m.store, "publish": m.publish, "edit": m.edit, "arrive": m.arrive, "lose": m.lose,
				"follow": m.follow, "retain": m.retain, "wait": m.wait, "after": m.after, "newest": m.newest,
				"sweep": func(*rapid.T) { n.Lost() },
				"":      m.check,
			})
			m.pending = nil
			time.Sleep(20 * time.Second)
			m.check(t)
			if m.release != nil {
				n.AtHead(m.topic, func(head int64) {
					if want := server.head(m.topic); head != want {
						t.Fatalf("delivered up to %d, the head is %d", head, want)
					}
				})
				m.release()
			}
		})
	})
}

func (m *feedModel) store(t *rapid.T) {
	topicID, rows := m.server.publish(m.topic, rapid.IntRange(1, 6).Draw(t, "messages"))
	m.log = append(m.log, rows...)
	if rapid.Bool().Draw(t, "together") {
		m.pending = append(m.pending, encodeNews(topicID, rows)...)
		return
	}
	for _, r := range rows {
		if rapid.IntRange(0, 9).Draw(t, "large") == 0 {
			r = row{id: r.id, insertedAt: r.insertedAt} // a reference
		}
		m.pending = append(m.pending, encodeNews(topicID, []row{r})...)
	}
}

func (m *feedModel) publish(t *rapid.T) {
	payload := fmt.Appendf(nil, `{"own":%d}`, len(m.log))
	id, err := m.node.Publish(context.Background(), m.topic, "new_msg", payload, "")
	if err != nil || id != int64(len(m.log)+1) {
		t.Fatalf("published %d, %v; want %d", id, err, len(m.log)+1)
	}
	m.log = append(m.log, row{id: id, event: "new_msg", payload: payload})
}

func (m *feedModel) edit(t *rapid.T) {
	of := rapid.Int64Range(1, int64(len(m.log)+1)).Draw(t, "of")
	edit := row{event: EventDeleted, payload: []byte("{}"), refersTo: of}
	var err error
	if rapid.Bool().Draw(t, "update") {
		edit.event, edit.payload = EventUpdated, fmt.Appendf(nil, `{"edited":%d}`, len(m.log))
		edit.id, err = m.node.Update(context.Background(), m.topic, of, edit.payload)
	} else {
		edit.id, err = m.node.Delete(context.Background(), m.topic, of)
	}
	switch {
	case errors.Is(err, ErrNotFound):
	case err != nil:
		t.Fatal(err)
	default:
		m.log = append(m.log, edit)
	}
}

func (m *feedModel) arrive(t *rapid.T) {
	if len(m.pending) == 0 {
		t.Skip("nothing is on its way")
	}
	i := rapid.IntRange(0, len(m.pending)-1).Draw(t, "which")
	m.node.HandleBus(m.topic, m.pending[i])
	if rapid.IntRange(0, 4).Draw(t, "again") > 0 {
		m.pending = append(m.pending[:i:i], m.pending[i+1:]...)
	}
}

func (m *feedModel) lose(t *rapid.T) {
	if len(m.pending) == 0 {
		t.Skip("nothing is on its way")
	}
	m.pending = m.pending[rapid.IntRange(1, len(m.pending)).Draw(t, "lost"):]
	if rapid.Bool().Draw(t, "noticed") {
		m.node.Lost()
	}
}

func (m *feedModel) follow(t *rapid.T) {
	if m.release != nil {
		m.release()
		m.release = nil
		return
	}
	release, err := m.node.Follow(context.Background(), m.topic)
	if err != nil {
		t.Fatal(err)
	}
	m.release = release
	m.node.AtHead(m.topic, func(head int64) {
		m.from, m.atMost = len(m.node.ids(m.topic)), head+1
		if head > m.server.head(m.topic) {
			t.Fatalf("the feed begins at %d, the head is %d", head, m.server.head(m.topic))
		}
	})
}

func (m *feedModel) retain(t *rapid.T) {
	m.server.set(func(s *fakeServer) {
		topic := s.topic(m.topic)
		topic.gone = rapid.Int64Range(topic.gone, topic.head()).Draw(t, "gone")
		m.lastGap = topic.gone
	})
}

func (m *feedModel) wait(t *rapid.T) {
	time.Sleep(time.Duration(rapid.SampledFrom([]int{1, 6, 30, 1000, 7000}).Draw(t, "milliseconds")) * time.Millisecond)
}

// check wants each id above the head at Follow once, in order.
func (m *feedModel) check(t *rapid.T) {
	synctest.Wait()
	if m.release == nil {
		return
	}
	m.node.mu.Lock()
	defer m.node.mu.Unlock()
	next := m.atMost
	for _, got := range m.node.delivered[m.topic][m.from:] {
		if got.ID < next || got.ID > next && got.ID > m.lastGap+1 {
			t.Fatalf("delivered %d, want %d", got.ID, next)
		}
		m.matches(t, got, got.ID)
		next = got.ID + 1
	}
}

func (m *feedModel) after(t *rapid.T) {
	head := m.server.head(m.topic)
	after := rapid.Int64Range(0, head+2).Draw(t, "after")
	limit := rapid.IntRange(1, 12).Draw(t, "limit")
	page, err := m.node.After(context.Background(), m.topic, after, limit)
	if err != nil {
		t.Fatal(err)
	}
	next := max(after+1, page.Oldest)
	for _, got := range page.Messages {
		if got.ID != next {
			t.Fatalf("after %d: id %d, want %d", after, got.ID, next)
		}
		m.matches(t, got, page.Head)
		next++
	}
	if page.More != (len(page.Messages) > 0 && next <= page.Head) || !page.More && next <= page.Head && page.Oldest <= page.Head {
		t.Fatalf("after %d up to %d: more is %v, head %d, oldest %d", after, next-1, page.More, page.Head, page.Oldest)
	}
	if page.Head > head || after > page.Head && page.Head != head {
		t.Fatalf("after %d: head %d, want %d", after, page.Head, head)
	}
}

func (m *feedModel) newest(t *rapid.T) {
	n := rapid.IntRange(0, 10).Draw(t, "n")
	page, err := m.node.Newest(context.Background(), m.topic, n)
	if err != nil {
		t.Fatal(err)
	}
	first := max(page.Head-int64(n)+1, page.Oldest)
	if want := span(first, page.Head); len(want) != len(page.Messages) {
		t.Fatalf("newest %d: ids %v, want %v", n, pageIDs(page), want)
	}
	for i, got := range page.Messages {
		if got.ID != first+int64(i) {
			t.Fatalf("newest %d: ids %v from %d", n, pageIDs(page), first)
		}
		m.matches(t, got, page.Head)
	}
	if page.More != (first > page.Oldest && page.Head >= page.Oldest) {
		t.Fatalf("newest %d: more is %v, ids %v, oldest %d", n, page.More, pageIDs(page), page.Oldest)
	}
}

// matches wants the message as it was at the time of some head from atLeast on.
func (m *feedModel) matches(t *rapid.T, got *Message, atLeast int64) {
	state := m.log[got.ID-1]
	var states []string
	for head := got.ID; head <= int64(len(m.log)); head++ {
		switch e := m.log[head-1]; {
		case e.refersTo == got.ID && e.event == EventUpdated:
			state.payload = e.payload
		case e.refersTo == got.ID:
			state.deleted = true
		case e.event == EventDeleted && e.refersTo == state.refersTo && state.event == EventUpdated && e.id > got.ID:
			state.deleted = true
		}
		if want := state.message("id"); head >= atLeast {
			if got.Deleted == want.Deleted && string(got.Payload) == string(want.Payload) && got.Event == want.Event && got.RefersTo == want.RefersTo {
				return
			}
			states = append(states, string(want.Payload))
		}
	}
	t.Fatalf("message %d: %s, deleted %v; want one of %s", got.ID, got.Payload, got.Deleted, strings.Join(states, " or "))
}

func TestFollowOfAnUnknownTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newFakeServer()
		n := startFake(t, server, Config{})
		defer n.follow(t, "room:new")()
		if len(server.topics) != 0 {
			t.Error("following made a row")
		}
		page, err := n.After(t.Context(), "room:new", 0, 10)
		if err != nil || page.Head != 0 || page.Oldest != 1 || len(page.Messages) != 0 {
			t.Errorf("page of a topic without messages: %+v, %v", page, err)
		}
		topicID, rows := server.publish("room:new", 3)
		for _, body := range encodeNews(topicID, rows) {
			n.HandleBus("room:new", body)
		}
		time.Sleep(20 * time.Millisecond)
		wantIDs(t, "delivered", n.ids("room:new"), span(1, 3))
		began := time.Now()
		if page, err = n.After(t.Context(), "room:new", 0, 10); err != nil || page.Epoch != epochString("epoch-0", 1) {
			t.Errorf("page of the topic's first messages: %+v, %v", page, err)
		}
		wantIDs(t, "page", pageIDs(page), span(1, 3))
		if took := time.Since(began); took != 0 {
			t.Errorf("it was not read from memory: %v", took)
		}
	})
}

func TestFarBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newFakeServer()
		n := startFake(t, server, Config{})
		defer n.follow(t, "room:1")()
		server.publish("room:1", 10_000)
		n.Lost()
		time.Sleep(500 * time.Millisecond) // pages follow each other without a pause
		wantIDs(t, "delivered", n.ids("room:1"), span(1, 10_000))
	})
}

// An answer that is older than what the feed has learned meanwhile is ignored.
func TestLateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newFakeServer()
		n := startFake(t, server, Config{})
		defer n.follow(t, "room:new")()
		server.set(func(s *fakeServer) { s.delay = 100 * time.Millisecond })
		n.Lost()
		time.Sleep(150 * time.Millisecond) // it is found that there is no such topic, but not told yet
		for {
			topicID, rows := server.publish("room:new", 1)
			n.HandleBus("room:new", encodeNews(topicID, rows)[0])
			if rows[0].id == 3 {
				break
			}
		}
		time.Sleep(5 * time.Second)
		wantIDs(t, "delivered", n.ids("room:new"), span(1, 3))
		if len(n.resets) != 0 {
			t.Errorf("reset: %v", n.resets)
		}
	})
}

func TestHoleIsFetchedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newFakeServer()
		n := startFake(t, server, Config{})
		topics := []string{"room:1", "room:2", "room:3"}
		for _, topic := range topics {
			defer n.follow(t, topic)()
		}
		for _, topic := range topics {
			topicID, rows := server.publish(topic, 5)
			for _, r := range []row{rows[0], rows[2], rows[4]} {
				n.HandleBus(topic, encodeNews(topicID, []row{r})[0])
			}
		}
		time.Sleep(20 * time.Millisecond)
		if fetches := server.count("after"); fetches != 0 {
			t.Errorf("%d fetches before the holes were waited for", fetches)
		}
		time.Sleep(20 * time.Millisecond)
		for _, topic := range topics {
			wantIDs(t, topic, n.ids(topic), span(1, 5))
		}
		if fetches := server.count("after"); fetches != 1 {
			t.Errorf("%d fetches for the holes of one tick", fetches)
		}
	})
}

func TestSlowDeliveryBlocksNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newFakeServer()
		n := startFake(t, server, Config{})
		defer n.follow(t, "room:slow")()
		defer n.follow(t, "room:fast")()
		slow, stop := make(chan struct{}), n.config.Deliver
		n.config.Deliver = func(topic string, messages []*Message) {
			if topic == "room:slow" {
				<-slow
			}
			stop(topic, messages)
		}
		size := 0
		topicID, rows := server.publish("room:slow", 4000)
		for i := range rows {
			rows[i].payload = fmt.Appendf(nil, `{"n":%q}`, strings.Repeat("x", 2000))
		}
		for _, body := range encodeNews(topicID, rows) {
			n.HandleBus("room:slow", body) // must not block
			size += len(body)
		}
		if n.feeds.inboxBytes.Load() > inboxBytes || size < 2*inboxBytes-inboxBytes/4 {
			t.Errorf("%d of %d bytes are queued", n.feeds.inboxBytes.Load(), size)
		}
		n.publish(t, "room:fast", "x")
		synctest.Wait()
		wantIDs(t, "another topic", n.ids("room:fast"), []int64{1})
		close(slow)
		time.Sleep(time.Second)
		wantIDs(t, "the slow topic", n.ids("room:slow"), span(1, 4000))
		if n.feeds.inboxBytes.Load() != 0 {
			t.Errorf("%d bytes are said to be queued at the end", n.feeds.inboxBytes.Load())
		}
	})
}

func TestForgedNewsDoesNoLastingHarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newFakeServer()
		n := startFake(t, server, Config{})
		server.publish("room:1", 2)
		defer n.follow(t, "room:1")()
		n.HandleBus("room:1", []byte("not news"))
		n.HandleBus("room:1", encodeNews(1, []row{{id: 1 << 40, event: "x", payload: []byte("{}")}})[0])
		n.HandleBus("room:1", encodeNews(99, []row{{id: 3, event: "x", payload: []byte("{}")}})[0])
		time.Sleep(time.Second)
		if fetches := server.count("after"); fetches > 2 {
			t.Errorf("%d fetches of what does not exist", fetches)
		}
		for range 3 {
			n.publish(t, "room:1", "x")
		}
		synctest.Wait()
		wantIDs(t, "delivered", n.ids("room:1"), span(3, 5))
	})
}

func TestRestoredDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newFakeServer()
		n := startFake(t, server, Config{})
		defer n.follow(t, "room:1")()
		defer n.follow(t, "room:2")()
		for range 10 {
			n.publish(t, "room:1", "x")
		}
		before, err := n.After(t.Context(), "room:1", 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		server.set(func(s *fakeServer) { // the backup is older
			s.generation++
			s.topic("room:1").rows = s.topic("room:1").rows[:4]
		})
		time.Sleep(7 * time.Second)
		n.AtHead("room:1", func(head int64) {
			if head != 4 {
				t.Errorf("head %d after the restore, want 4", head)
			}
		})
		if id := n.publish(t, "room:1", "x"); id != 5 {
			t.Errorf("id %d after the restore, want 5", id)
		}
		synctest.Wait()
		wantIDs(t, "delivered", n.ids("room:1"), append(span(1, 10), 5))
		after, err := n.After(t.Context(), "room:1", 0, 100)
		if err != nil || after.Epoch == before.Epoch || after.Head != 5 {
			t.Errorf("page after the restore: epoch %s was %s, head %d, %v", after.Epoch, before.Epoch, after.Head, err)
		}
		if len(n.resets) != 2 {
			t.Errorf("topics reset: %v, want both", n.resets)
		}
	})
}

func TestHeadGoesDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newFakeServer()
		n := startFake(t, server, Config{})
		defer n.follow(t, "room:1")()
		for range 10 {
			n.publish(t, "room:1", "x")
		}
		server.set(func(s *fakeServer) { s.topic("room:1").rows = s.topic("room:1").rows[:4] })
		time.Sleep(7 * time.Second)
		n.publish(t, "room:1", "x")
		synctest.Wait()
		wantIDs(t, "delivered", n.ids("room:1"), append(span(1, 10), 5))
		if len(n.resets) != 1 {
			t.Errorf("resets: %v", n.resets)
		}
	})
}

func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newFakeServer()
		const limit = 1 << 20
		n := startFake(t, server, Config{RingBytes: limit, IdleFeeds: 3})
		payload := strings.Repeat("x", 1000)
		for i := range 60 {
			topic := fmt.Sprint("room:", i)
			release := n.follow(t, topic)
			for range 20 {
				n.publish(t, topic, payload)
			}
			synctest.Wait()
			if used := n.feeds.ringBytes.Load(); used > limit {
				t.Fatalf("%d bytes in rings, the limit is %d", used, limit)
			}
			if i%2 == 0 {
				release()
			} else {
				defer release()
			}
		}
		if feeds := n.feeds.len(); feeds > 30+3 {
			t.Errorf("%d feeds are kept", feeds)
		}
		sum := int64(0)
		for _, f := range n.feeds.list() {
			sum += int64(f.ring.bytes)
		}
		if counted := n.feeds.ringBytes.Load(); counted != sum {
			t.Errorf("%d bytes are counted, the rings hold %d", counted, sum)
		}
	})
}
