package history

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/trunkline/trunkline/internal/pgtest"
)

// Pages against a model: any place, limit, bound and pattern, over several
// partitions, with the oldest messages gone.
func TestPages(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := storeOn(t, pgtest.URL(t))
	var ids []int64
	heads := []int64{0, 1, 40, 300}
	for i, head := range heads {
		id := topicNamed(t, s, fmt.Sprint("t", i))
		for n := range head {
			e := message(id, fmt.Sprint(n))
			e.payload = fmt.Appendf(nil, `{"n":%0*d}`, 1+int(n*7%50), 1) // of 7 to 56 bytes
			mustAppend(t, s, e)
		}
		ids = append(ids, id)
	}
	exec(t, s.db, "delete from trunkline.messages where topic_id = $1 and id <= 25", ids[3])
	firsts := []int64{1, 1, 1, 26}
	size := func(id int64) int { return 6 + 1 + int((id-1)*7%50) }

	// page is what a page from id in steps should hold.
	page := func(topic int, from, step int64, limit, maxBytes int, maxCount int64) (want []int64, oldest int64) {
		oldest = firsts[topic]
		if maxCount > 0 {
			oldest = max(oldest, heads[topic]-maxCount+1)
		}
		if step > 0 {
			from = max(from, oldest)
		} else {
			from = min(from, heads[topic])
		}
		total := 0
		for id := from; id >= oldest && id <= heads[topic] && len(want) < limit; id += step {
			if total += size(id); total > maxBytes && len(want) > 0 {
				break
			}
			want = append(want, id)
		}
		return want, oldest
	}
	random := rand.New(rand.NewPCG(3, 3))
	for range 300 {
		maxBytes := []int{1, 100, 1000, 1 << 20}[random.IntN(4)]
		var readings []reading
		for range 1 + random.IntN(6) {
			topic := random.IntN(len(ids))
			readings = append(readings, reading{
				topicID: ids[topic], after: random.Int64N(320), limit: 1 + random.IntN(50), maxCount: []int64{0, 1, 30, 1000}[random.IntN(4)],
			})
		}
		readings = append(readings, reading{topicID: -1, limit: 5})
		pages, err := s.after(ctx, readings, maxBytes)
		if err != nil || len(pages) != len(readings) {
			t.Fatal(len(pages), err)
		}
		for i, r := range readings[:len(readings)-1] {
			topic := int(r.topicID - ids[0])
			want, oldest := page(topic, r.after+1, 1, r.limit, maxBytes, r.maxCount)
			more := len(want) > 0 && want[len(want)-1] < heads[topic]
			checkPage(t, fmt.Sprintf("%+v in %d bytes", r, maxBytes), pages[i], want, heads[topic], oldest, more)
		}
		if last := pages[len(pages)-1]; last.topicID != -1 || last.head != 0 || last.rows != nil {
			t.Errorf("a topic that does not exist: %+v", last)
		}

		r := readings[0]
		before := []int64{random.Int64N(320), math.MaxInt64}[random.IntN(2)]
		got, err := s.before(ctx, r, before, maxBytes)
		if err != nil {
			t.Fatal(err)
		}
		topic := int(r.topicID - ids[0])
		want, oldest := page(topic, before-1, -1, r.limit, maxBytes, r.maxCount)
		for i, j := 0, len(want)-1; i < j; i, j = i+1, j-1 {
			want[i], want[j] = want[j], want[i]
		}
		checkPage(t, fmt.Sprintf("%+v before %d in %d bytes", r, before, maxBytes), got, want, heads[topic], oldest, len(want) > 0 && want[0] > oldest)
	}
}

func checkPage(t *testing.T, what string, got rows, want []int64, head, oldest int64, more bool) {
	t.Helper()
	var ids []int64
	for _, r := range got.rows {
		ids = append(ids, r.id)
		if r.event != "new_msg" || len(r.payload) < 7 || r.insertedAt.IsZero() || r.deleted || r.refersTo != 0 {
			t.Errorf("%s: row %+v", what, r)
		}
	}
	if fmt.Sprint(ids) != fmt.Sprint(want) || got.head != head || got.oldest != oldest || got.more != more {
		t.Errorf("%s: %v of %d to %d, more %v; want %v of %d to %d, more %v", what, ids, got.oldest, got.head, got.more, want, oldest, head, more)
	}
}

func TestSeenAndUnread(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := storeOn(t, pgtest.URL(t))
	ps, err := newPatterns([]Pattern{{Pattern: "few:*", MaxCount: 5}, {Pattern: "*"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.register(ctx, ps); err != nil {
		t.Fatal(err)
	}
	topic, few, many := topicNamed(t, s, "a"), topicNamed(t, s, "few:1"), topicNamed(t, s, "many")
	for _, id := range []int64{topic, few} {
		for range 10 {
			mustAppend(t, s, message(id, "x"))
		}
	}
	exec(t, s.db, "insert into trunkline.messages select $1, n, now(), null, false, 'e', '{}' from generate_series(1, 1500) n", many)
	exec(t, s.db, "update trunkline.topics set head = 1500 where id = $1", many)

	counts := func(user string, want ...int64) {
		t.Helper()
		names := []string{"a", "few:1", "many", "nowhere"}
		got, err := s.unread(ctx, user, names)
		if err != nil || len(got) != len(names) {
			t.Fatal(got, err)
		}
		for i, name := range names {
			if got[name] != want[i] {
				t.Errorf("%s has %d unread in %s, want %d", user, got[name], name, want[i])
			}
		}
	}
	seen := func(user string, topic, id, want int64) {
		t.Helper()
		if got, err := s.seen(ctx, topic, user, id); err != nil || got != want {
			t.Errorf("%s has seen %d: %d unread, %v, want %d", user, id, got, err, want)
		}
	}
	counts("ann", 10, 5, unreadCap, 0)
	seen("ann", topic, 4, 6)
	seen("ann", topic, 2, 6) // never back
	seen("ann", many, 1490, 10)
	seen("ann", few, 1, 5)
	seen("ann", few, 8, 2)
	counts("ann", 6, 2, 10, 0)
	counts("bob", 10, 5, unreadCap, 0)
	seen("ann", topic, -5, 6)
	seen("ann", -1, 5, 0)

	// Edits do not count, and what was deleted does not any more.
	mustAppend(t, s, entry{topicID: topic, event: EventUpdated, payload: []byte("{}"), refersTo: 9},
		entry{topicID: topic, event: EventDeleted, payload: []byte("{}"), refersTo: 10})
	counts("ann", 5, 2, 10, 0)
	seen("ann", topic, 99, 0) // of what there is
	mustAppend(t, s, message(topic, "13"))
	counts("ann", 1, 2, 10, 0)
	if last := ask[int](t, s.db, "select last_id from trunkline.read_cursors where topic_id = $1 and user_id = 'ann'", topic); last != 12 {
		t.Errorf("the cursor is at %d, want 12", last)
	}
	if _, err := s.seen(ctx, topic, "", 1); err == nil {
		t.Error("an empty user was accepted")
	}
	if _, err := s.unread(ctx, "nul\x00", []string{"a"}); err == nil {
		t.Error("a user with a NUL was accepted")
	}
}
