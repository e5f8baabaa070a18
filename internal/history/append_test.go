package history

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trunkline/trunkline/internal/pgtest"
)

// topicNamed creates a topic and returns its id.
func topicNamed(t testing.TB, s *store, name string) int64 {
	t.Helper()
	found, err := s.ensureTopics(context.Background(), []string{name})
	if err != nil {
		t.Fatal(err)
	}
	return found[name].id
}

// mustAppend appends and waits for counters.
func mustAppend(t testing.TB, s *store, batch ...entry) []verdict {
	t.Helper()
	verdicts, _, err := s.append(context.Background(), batch, true)
	if err != nil {
		t.Fatal(err)
	}
	return verdicts
}

func message(topicID int64, body string) entry {
	return entry{topicID: topicID, event: "new_msg", payload: fmt.Appendf(nil, `{"body":%q}`, body)}
}

func stored(ids ...int64) []verdict {
	var verdicts []verdict
	for _, id := range ids {
		verdicts = append(verdicts, verdict{statusStored, id})
	}
	return verdicts
}

func expect(t testing.TB, what string, got, want []verdict) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// all reads a whole topic.
func all(t testing.TB, s *store, topicID int64) []row {
	t.Helper()
	pages, err := s.after(context.Background(), []reading{{topicID: topicID, limit: 1_000_000}}, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return pages[0].rows
}

// gapless is a query for what breaks the promise about ids: it returns nothing.
const gapless = `
	select coalesce(string_agg(format('%s: head %s, %s ids up to %s', t.name, t.head, m.count, m.max), '; '), '')
	from trunkline.topics t
	left join (select topic_id, count(distinct id), max(id), bool_and(ordered) as ordered
		from (select topic_id, id, inserted_at >= lag(inserted_at, 1, '-infinity') over (partition by topic_id order by id) as ordered
			from trunkline.messages) as m
		group by topic_id) as m on m.topic_id = t.id
	where t.head <> coalesce(m.max, 0) or t.head <> coalesce(m.count, 0) or not coalesce(m.ordered, true)`

// Eight nodes write batches over a hundred topics, in any order, half of them
// waiting for counters: no gap is ever seen, nothing deadlocks, and each finds
// its messages in the order in which it gave them.
func TestAppendIsGapless(t *testing.T) {
	t.Parallel()
	const writers, topics, batches, size = 8, 100, 40, 50
	ctx := context.Background()
	url := pgtest.URL(t)
	var names []string
	for i := range topics {
		names = append(names, fmt.Sprint("room:", i))
	}
	var writing sync.WaitGroup
	for w := range writers {
		s := storeOn(t, url)
		writing.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(w)))
			found, err := s.ensureTopics(ctx, names)
			if err != nil {
				t.Error(err)
				return
			}
			last := make(map[int64]int64)
			var waiting []entry // for their topics' counters
			for b := 0; b < batches || len(waiting) > 0; b++ {
				batch := waiting
				waiting = nil
				for i := 0; b < batches && i < size; i++ {
					topic := found[names[random.IntN(topics)]]
					batch = append(batch, message(topic.id, fmt.Sprint(w, " ", b, " ", i)))
				}
				if w%4 < 2 { // as nodes have it, for append_plain
					slices.SortStableFunc(batch, func(a, b entry) int { return cmp.Compare(a.topicID, b.topicID) })
				}
				verdicts, _, err := s.append(ctx, batch, b%2 == 0)
				if err != nil {
					t.Error(err)
					return
				}
				for i, v := range verdicts {
					switch topic := batch[i].topicID; {
					case v.status == statusBusy && b%2 == 1:
						waiting = append(waiting, batch[i])
					case v.status != statusStored || v.id <= last[topic]:
						t.Errorf("writer %d: %v after id %d", w, v, last[topic])
						return
					default:
						last[topic] = v.id
					}
				}
			}
		})
	}
	done := make(chan struct{})
	var watching sync.WaitGroup
	watcher := connect(t, url)
	watching.Go(func() {
		for {
			if wrong := ask[string](t, watcher, gapless); wrong != "" {
				t.Error(wrong)
				return
			}
			select {
			case <-done:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	writing.Wait()
	close(done)
	watching.Wait()
	if wrong := ask[string](t, watcher, gapless); wrong != "" {
		t.Error(wrong)
	}
	if got := ask[int](t, watcher, "select count(distinct payload) from trunkline.messages"); got != writers*batches*size {
		t.Errorf("%d messages, want %d", got, writers*batches*size)
	}
	if got := ask[int](t, watcher, "select deadlocks from pg_stat_database where datname = current_database()"); got != 0 {
		t.Errorf("%d deadlocks", got)
	}
}

func TestBusyTopics(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := pgtest.URL(t)
	s, holder := storeOn(t, url), connect(t, url)
	a, b := topicNamed(t, s, "a"), topicNamed(t, s, "b")

	tx, err := holder.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	exec(t, tx, "select from trunkline.topics where id = $1 for update", a)
	batch := []entry{message(a, "1"), message(b, "2"), message(-7, "3"), message(a, "4"), message(b, "5")}
	verdicts, _, err := s.append(ctx, batch, false)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "while a is held", verdicts, []verdict{{statusBusy, 0}, {statusStored, 1}, {statusNoTopic, 0}, {statusBusy, 0}, {statusStored, 2}})
	byTopic := []entry{message(-7, "3"), message(a, "1"), message(a, "4"), message(b, "6"), message(b, "7")}
	if verdicts, _, err = s.append(ctx, byTopic, false); err != nil {
		t.Fatal(err)
	}
	expect(t, "by topic", verdicts, []verdict{{statusNoTopic, 0}, {statusBusy, 0}, {statusBusy, 0}, {statusStored, 3}, {statusStored, 4}})
	if verdicts, _, err = s.append(ctx, byTopic[:3], false); err != nil {
		t.Fatal(err)
	}
	expect(t, "nothing to be stored", verdicts, []verdict{{statusNoTopic, 0}, {statusBusy, 0}, {statusBusy, 0}})
	expect(t, "a alone", func() []verdict { v, _, _ := s.append(ctx, batch[:1], false); return v }(), []verdict{{statusBusy, 0}})

	waited := make(chan []verdict)
	go func() {
		verdicts, _, err := s.append(ctx, []entry{batch[0], batch[3]}, true)
		if err != nil {
			t.Error(err)
		}
		waited <- verdicts
	}()
	for ask[int](t, tx, "select count(*) from pg_locks where not granted") == 0 {
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	expect(t, "after waiting", <-waited, stored(1, 2))
	var payloads []string
	for _, r := range all(t, s, b) {
		payloads = append(payloads, fmt.Sprintf("%d %s %s", r.id, r.event, r.payload))
	}
	if want := []string{`1 new_msg {"body":"2"}`, `2 new_msg {"body":"5"}`, `3 new_msg {"body":"6"}`, `4 new_msg {"body":"7"}`}; !slices.Equal(payloads, want) {
		t.Errorf("b has %q, want %q", payloads, want)
	}
	if _, _, err := s.append(ctx, nil, true); err != nil {
		t.Errorf("an empty batch: %v", err)
	}
}

// Single messages of many connections to one topic: each is stored or told to
// try again, and the ids have no gap.
func TestSingleMessagesAtOnce(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	s := storeOn(t, url)
	topic := topicNamed(t, s, "a")
	const writers, each = 6, 100
	var parts sync.WaitGroup
	for range writers {
		parts.Go(func() {
			s := storeOn(t, url)
			for n := 0; n < each; {
				verdicts, _, err := s.append(context.Background(), []entry{message(topic, "x")}, n%2 == 0)
				if err != nil {
					t.Error(err)
					return
				}
				switch verdicts[0].status {
				case statusStored:
					n++
				case statusBusy:
				default:
					t.Errorf("verdict %+v", verdicts[0])
					return
				}
			}
		})
	}
	parts.Wait()
	for i, row := range all(t, s, topic) {
		if row.id != int64(i+1) {
			t.Fatalf("message %d has the id %d", i+1, row.id)
		}
	}
	if n := len(all(t, s, topic)); n != writers*each {
		t.Errorf("%d messages, want %d", n, writers*each)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := pgtest.URL(t)
	s := storeOn(t, url)
	a, b := topicNamed(t, s, "a"), topicNamed(t, s, "b")
	keyed := func(topic int64, key string) entry {
		e := message(topic, key)
		e.key = key
		return e
	}
	expect(t, "first", mustAppend(t, s, message(a, "x"), keyed(a, "k"), keyed(a, "l"), keyed(b, "k")),
		[]verdict{{statusStored, 1}, {statusStored, 2}, {statusStored, 3}, {statusStored, 1}})
	expect(t, "again", mustAppend(t, s, keyed(a, "l"), message(a, "y"), keyed(b, "l"), keyed(a, "k"), keyed(a, "m"), keyed(a, "m")),
		[]verdict{{statusDuplicate, 3}, {statusStored, 4}, {statusStored, 2}, {statusDuplicate, 2}, {statusStored, 5}, {statusDuplicate, 5}})

	conn := connect(t, url)
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	inTx := newStore(standardSchema(t), tx, nil)
	expect(t, "in a transaction", mustAppend(t, inTx, keyed(a, "r")), stored(6))
	if err := tx.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	expect(t, "after its rollback", mustAppend(t, s, keyed(a, "other"), keyed(a, "r")), stored(6, 7))
	if got := len(all(t, s, a)); got != 7 {
		t.Errorf("%d messages, want 7", got)
	}
}

// Of two that publish the same key at once one publishes, and both get its id.
func TestKeyAtOnce(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := pgtest.URL(t)
	stores := []*store{storeOn(t, url), storeOn(t, url)}
	topic := topicNamed(t, stores[0], "a")
	for round := range 100 {
		verdicts := make([]verdict, len(stores))
		var publishing sync.WaitGroup
		for i, s := range stores {
			publishing.Go(func() {
				for verdicts[i] = (verdict{status: statusBusy}); verdicts[i].status == statusBusy; {
					got, _, err := s.append(ctx, []entry{{topicID: topic, event: "e", payload: []byte("{}"), key: fmt.Sprint(round)}}, i == 0)
					if err != nil {
						t.Error(err)
						return
					}
					verdicts[i] = got[0]
				}
			})
		}
		publishing.Wait()
		slices.SortFunc(verdicts, func(a, b verdict) int { return int(a.status - b.status) })
		id := int64(round + 1)
		expect(t, fmt.Sprint("round ", round), verdicts, []verdict{{statusStored, id}, {statusDuplicate, id}})
	}
}

func TestEdits(t *testing.T) {
	t.Parallel()
	s := storeOn(t, pgtest.URL(t))
	topic, other := topicNamed(t, s, "a"), topicNamed(t, s, "b")
	update := func(id int64, body string) entry {
		return entry{topicID: topic, event: EventUpdated, payload: []byte(`{"body":"` + body + `"}`), refersTo: id}
	}
	remove := func(id int64) entry {
		return entry{topicID: topic, event: EventDeleted, payload: []byte("{}"), refersTo: id}
	}
	mustAppend(t, s, message(topic, "1"), message(topic, "2"), message(topic, "3"), message(other, "1"))
	notFound := verdict{statusNotFound, 0}

	expect(t, "updates", mustAppend(t, s, update(2, "2a"), update(99, "?"), message(topic, "5"), update(2, "2b")),
		[]verdict{{statusStored, 4}, notFound, {statusStored, 5}, {statusStored, 6}})
	expect(t, "an update of an update", mustAppend(t, s, update(4, "?"), update(1, "1a")), []verdict{notFound, {statusStored, 7}})
	expect(t, "deletions", mustAppend(t, s, update(3, "3a"), remove(3), update(3, "?"), remove(3), remove(2)),
		[]verdict{{statusStored, 8}, {statusStored, 9}, notFound, notFound, {statusStored, 10}})
	expect(t, "after deletion", mustAppend(t, s, update(2, "?"), remove(2), remove(8), message(topic, "11")),
		[]verdict{notFound, notFound, notFound, {statusStored, 11}})

	var got []string
	for _, r := range all(t, s, topic) {
		text := fmt.Sprintf("%d %s %s", r.id, r.event, r.payload)
		if r.refersTo != 0 {
			text += fmt.Sprint(" of ", r.refersTo)
		}
		if r.deleted {
			text += " deleted"
		}
		got = append(got, text)
	}
	want := `1 new_msg {"body":"1a"}
2 new_msg {} deleted
3 new_msg {} deleted
4 message_updated {} of 2 deleted
5 new_msg {"body":"5"}
6 message_updated {} of 2 deleted
7 message_updated {"body":"1a"} of 1
8 message_updated {} of 3 deleted
9 message_deleted {} of 3
10 message_deleted {} of 2
11 new_msg {"body":"11"}`
	if text := strings.Join(got, "\n"); text != want {
		t.Errorf("the topic holds\n%s\nwant\n%s", text, want)
	}
	if rows := all(t, s, other); len(rows) != 1 || rows[0].deleted || string(rows[0].payload) != `{"body":"1"}` {
		t.Errorf("the other topic holds %v", rows)
	}
}

// What the tables hold is unchanged by a batch that fails.
func TestAppendFails(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := storeOn(t, pgtest.URL(t))
	topic := topicNamed(t, s, "a")
	_, _, err := s.append(ctx, []entry{message(topic, "1"), {topicID: topic, event: "nul\x00", payload: []byte("{}")}}, true)
	if err == nil {
		t.Fatal("an event with a NUL was stored")
	}
	expect(t, "afterwards", mustAppend(t, s, message(topic, "2")), stored(1))
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	if _, _, err := s.append(canceled, []entry{message(topic, "3")}, true); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestTopics(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := pgtest.URL(t)
	s := storeOn(t, url)
	if found, err := s.findTopics(ctx, []string{"a"}); err != nil || len(found) != 0 {
		t.Errorf("in an empty database: %v, %v", found, err)
	}
	// Ten nodes create the same topics at once, in different orders.
	var names []string
	for i := range 200 {
		names = append(names, fmt.Sprint("t", i))
	}
	results := make([]map[string]topicState, 10)
	var creating sync.WaitGroup
	for i := range results {
		s := storeOn(t, url)
		creating.Go(func() {
			mine := slices.Clone(names)
			rand.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
			var err error
			if results[i], err = s.ensureTopics(ctx, append(mine, mine[0])); err != nil {
				t.Error(err)
			}
		})
	}
	creating.Wait()
	for _, r := range results {
		if len(r) != len(names) {
			t.Fatalf("%d topics, want %d", len(r), len(names))
		}
		for name, state := range r {
			if state != results[0][name] || state.name != name || state.head != 0 || len(state.epoch) != 36 {
				t.Errorf("%s: %+v and %+v", name, state, results[0][name])
			}
		}
	}
	one := results[0]["t1"].id
	mustAppend(t, s, message(one, "1"), message(one, "2"))
	found, err := s.findTopics(ctx, []string{"t1", "nobody"})
	if err != nil || len(found) != 1 || found["t1"].head != 2 {
		t.Errorf("found %v, %v", found, err)
	}
	heads, err := s.heads(ctx, []int64{one, results[0]["t2"].id, -1})
	if err != nil || len(heads) != 2 || heads[one] != 2 {
		t.Errorf("heads %v, %v", heads, err)
	}
}

// The generation rises when this turns out to be another database.
func TestGeneration(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := pgtest.URL(t)
	s := storeOn(t, url)
	first, err := s.generation(ctx)
	if err != nil || first <= 0 {
		t.Fatalf("generation %d, %v", first, err)
	}
	last := first
	for range 3 {
		if again, err := s.generation(ctx); err != nil || again != last {
			t.Errorf("asked again: %d, %v, want %d", again, err, last)
		}
		exec(t, s.db, "update trunkline.installation set identity = 'of the server that this was restored from'")
		next := make([]int64, 4)
		var asking sync.WaitGroup
		for i := range next {
			s := storeOn(t, url)
			asking.Go(func() {
				var err error
				if next[i], err = s.generation(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		asking.Wait()
		if next[0] <= last || slices.Max(next) != slices.Min(next) {
			t.Errorf("after a restoration: %v, want one above %d", next, last)
		}
		last = next[0]
	}
	// The tables are made anew by the restoration of a dump.
	exec(t, s.db, "create table trunkline.copy (like trunkline.topics including all); drop table trunkline.topics cascade; alter table trunkline.copy rename to topics")
	if next, err := s.generation(ctx); err != nil || next <= last {
		t.Errorf("with new tables: %d, %v, want above %d", next, err, last)
	}
}

// begin starts a transaction that is rolled back at the end of the test unless
// it was ended before.
func begin(t testing.TB, conn *pgx.Conn) pgx.Tx {
	t.Helper()
	tx, err := conn.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	return tx
}
