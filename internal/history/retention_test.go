package history

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/trunkline/trunkline/internal/pgtest"
)

const day = 24 * time.Hour

// maintainerOn returns a maintainer for the patterns, which it registers.
func maintainerOn(t testing.TB, url string, config ...Pattern) *maintainer {
	t.Helper()
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	ps, err := newPatterns(config)
	if err != nil {
		t.Fatal(err)
	}
	m := &maintainer{db: pool, schema: standardSchema(t), patterns: ps, width: day, log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	if err := newStore(m.schema, pool, nil).register(ctx, ps); err != nil {
		t.Fatal(err)
	}
	return m
}

func mustMaintain(t testing.TB, m *maintainer) {
	t.Helper()
	if err := errors.Join(m.maintain(context.Background()), m.trim(context.Background())); err != nil {
		t.Fatal(err)
	}
}

// partitionNames lists the partitions by time, without the default one.
func partitionNames(t testing.TB, conn *pgx.Conn) string {
	t.Helper()
	return ask[string](t, conn, "select coalesce(string_agg(name, ' ' order by lower_bound), '') from trunkline.partitions()")
}

// nameOf is the partition's that begins at the time.
func nameOf(at time.Time) string { return "messages_" + at.UTC().Format("20060102t150405") }

// partitionOf is where a topic's newest message is.
func partitionOf(t testing.TB, conn *pgx.Conn, topicID int64) string {
	t.Helper()
	return ask[string](t, conn, "select split_part(tableoid::regclass::text, '.', 2) from trunkline.messages where topic_id = $1 order by id desc limit 1", topicID)
}

func TestPartitions(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	s, conn := storeOn(t, url), connect(t, url)
	exec(t, conn, "set datestyle = 'German'; set timezone = 'Asia/Kathmandu'")
	topic := topicNamed(t, s, "a")
	m := maintainerOn(t, url, Pattern{Pattern: "*", MaxAge: 7 * day})

	// Nobody has made any: the default one takes everything.
	mustAppend(t, s, message(topic, "1"))
	if got := partitionOf(t, conn, topic); got != "messages_default" {
		t.Errorf("the first message is in %s", got)
	}
	// What is there stays there, and later days get their own.
	today := time.Now().Truncate(day)
	mustMaintain(t, m)
	if got, want := partitionNames(t, conn), nameOf(today.Add(day))+" "+nameOf(today.Add(2*day)); got != want {
		t.Errorf("partitions %s, want %s", got, want)
	}
	// It goes with the retention.
	exec(t, conn, "update trunkline.messages set inserted_at = now() - interval '8 days'")
	mustMaintain(t, m)
	if got := all(t, s, topic); len(got) != 0 {
		t.Errorf("%d old messages are left", len(got))
	}

	// On a new database today has one.
	url = pgtest.URL(t)
	s, conn = storeOn(t, url), connect(t, url)
	topic = topicNamed(t, s, "a")
	m = maintainerOn(t, url, Pattern{Pattern: "*", MaxAge: 7 * day})
	today = time.Now().Truncate(day)
	var maintaining sync.WaitGroup
	for range 4 { // nodes
		maintaining.Go(func() { mustMaintain(t, m) })
	}
	maintaining.Wait()
	mustMaintain(t, m)
	if got, want := partitionNames(t, conn), strings.Join([]string{nameOf(today), nameOf(today.Add(day)), nameOf(today.Add(2 * day))}, " "); got != want {
		t.Errorf("partitions %s, want %s", got, want)
	}
	mustAppend(t, s, message(topic, "1"))
	if got := partitionOf(t, conn, topic); got != nameOf(today) {
		t.Errorf("the message is in %s, want %s", got, nameOf(today))
	}
	// Another width begins where the existing ones end.
	m.width = 7 * day
	mustMaintain(t, m)
	names := strings.Fields(partitionNames(t, conn))
	if len(names) < 4 || names[3] != nameOf(today.Add(3*day)) {
		t.Errorf("partitions of another width: %s", names)
	}
	if holes := ask[int](t, conn, `select count(*) from (select lower_bound <> lag(upper_bound) over (order by lower_bound) as hole from trunkline.partitions()) p where hole`); holes != 0 {
		t.Errorf("%d holes between partitions", holes)
	}
}

func TestPartitionWidth(t *testing.T) {
	t.Parallel()
	for age, want := range map[time.Duration]time.Duration{
		0: 30 * day, time.Minute: time.Hour, 12 * time.Hour: time.Hour, day: 6 * time.Hour, 3 * day: 6 * time.Hour,
		7 * day: day, 12 * day: day, 13 * day: 7 * day, 60 * day: 7 * day, 365 * day: 30 * day, 4000 * day: 30 * day,
	} {
		if got := partitionWidth(age); got != want {
			t.Errorf("for an age of %v: %v, want %v", age, got, want)
		}
	}
}

// A day of a million messages goes in less than a second, and no publisher
// waits for it, not even where somebody reads in a long transaction.
func TestRetentionDropsADay(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := pgtest.URL(t)
	s, conn := storeOn(t, url), connect(t, url)
	topic := topicNamed(t, s, "busy")
	m := maintainerOn(t, url, Pattern{Pattern: "*", MaxAge: 7 * day})
	old := time.Now().Truncate(day).Add(-9 * day)
	exec(t, conn, fmt.Sprintf("create table trunkline.%s partition of trunkline.messages for values from ('%s') to ('%s')",
		nameOf(old), old.Format(time.RFC3339), old.Add(day).Format(time.RFC3339)))
	exec(t, conn, `insert into trunkline.messages select 1000 + n % 1000, n / 1000, $1, null, false, 'e', '{"body":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}' from generate_series(1, 1000000) n`, old)
	mustMaintain(t, &maintainer{db: m.db, schema: m.schema, width: day, log: m.log}) // makes today's

	// Publishers, and what they waited at most.
	stop := make(chan struct{})
	var publishing sync.WaitGroup
	var slowest time.Duration
	publishing.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
			started := time.Now()
			if _, _, err := s.append(ctx, []entry{message(topic, "x")}, false); err != nil {
				t.Error(err)
				return
			}
			slowest = max(slowest, time.Since(started))
		}
	})

	reader := begin(t, connect(t, url))
	if n := ask[int](t, reader, "select count(*) from trunkline.messages where topic_id = 1001"); n != 1000 {
		t.Errorf("%d messages of a topic, want 1000", n)
	}
	if err := m.maintain(ctx); err == nil || !strings.Contains(err.Error(), "55P03") {
		t.Errorf("while a reader's transaction is open: %v, want a lock that is not available", err)
	}
	if err := reader.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	if err := m.dropPartitions(ctx, newStore(m.schema, m.db, nil), 7*day); err != nil {
		t.Fatal(err)
	}
	took := time.Since(started)
	close(stop)
	publishing.Wait()
	if n := ask[int](t, conn, "select count(*) from trunkline.messages where topic_id >= 1000"); n != 0 {
		t.Errorf("%d messages are left", n)
	}
	if took > time.Second {
		t.Errorf("dropping took %v, want at most a second", took)
	}
	if slowest > 500*time.Millisecond {
		t.Errorf("a publisher waited %v", slowest)
	}
	t.Logf("dropping took %v; publishers waited at most %v", took, slowest)
}

// Rows that patterns with shorter ages or with counts do not keep are deleted.
func TestTrim(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := pgtest.URL(t)
	s, conn := storeOn(t, url), connect(t, url)
	m := maintainerOn(t, url,
		Pattern{Pattern: "short:*", MaxAge: time.Hour},
		Pattern{Pattern: "few:*", MaxAge: 10 * day, MaxCount: 30},
		Pattern{Pattern: "long:*", MaxAge: 10 * day},
		Pattern{Pattern: "nearly:*", MaxAge: 8 * day})
	// A hundred messages each, one an hour, the newest half an hour old.
	want := map[string]int64{"short:1": 1, "few:1": 30, "long:1": 100, "nearly:1": 100, "none": 100}
	for i := range 600 { // more than a page of topics
		want[fmt.Sprint("empty:", i)] = 0
	}
	var names []string
	for name := range want {
		names = append(names, name)
	}
	topics, err := s.ensureTopics(ctx, names)
	if err != nil {
		t.Fatal(err)
	}
	for name, count := range want {
		if count > 0 {
			exec(t, conn, "insert into trunkline.messages select $1, n, now() - interval '30 minutes' - interval '1 hour' * (100 - n), null, false, 'e', '{}' from generate_series(1, 100) n", topics[name].id)
			exec(t, conn, "update trunkline.topics set head = 100 where id = $1", topics[name].id)
		}
	}
	mustMaintain(t, m)
	for name, count := range want {
		if got := all(t, s, topics[name].id); int64(len(got)) != count || count > 0 && got[len(got)-1].id != 100 {
			t.Errorf("%s has %d messages, want %d", name, len(got), count)
		}
	}
	// A page tells what is gone.
	pages, err := s.after(ctx, []reading{{topicID: topics["few:1"].id, after: 10, limit: 2}}, 1000)
	if err != nil || pages[0].oldest != 71 || pages[0].rows[0].id != 71 {
		t.Errorf("the page is %+v, %v", pages[0], err)
	}
	// Many rows go in several statements.
	exec(t, conn, "insert into trunkline.messages select $1, n, now(), null, false, 'e', '{}' from generate_series(101, 20000) n", topics["few:1"].id)
	exec(t, conn, "update trunkline.topics set head = 20000 where id = $1", topics["few:1"].id)
	mustMaintain(t, m)
	if got := all(t, s, topics["few:1"].id); len(got) != 30 || got[0].id != 19971 {
		t.Errorf("%d messages are left, want 30", len(got))
	}
}

func TestKeysExpire(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	s, conn := storeOn(t, url), connect(t, url)
	m := maintainerOn(t, url, Pattern{Pattern: "*"})
	topic := topicNamed(t, s, "a")
	e := message(topic, "x")
	e.key = "old"
	mustAppend(t, s, e)
	exec(t, conn, "update trunkline.message_keys set inserted_at = now() - interval '25 hours'")
	exec(t, conn, "insert into trunkline.message_keys select $1, 'k' || n, n, now() - interval '2 days' from generate_series(1, 12000) n", topic)
	e.key = "young"
	mustAppend(t, s, e)
	mustMaintain(t, m)
	if got := ask[string](t, conn, "select string_agg(key, ' ') from trunkline.message_keys"); got != "young" {
		t.Errorf("the keys left are %.50s", got)
	}
}
