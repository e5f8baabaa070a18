package history

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trunkline/trunkline/internal/dbsqlc"
	"github.com/trunkline/trunkline/internal/pgtest"
	"github.com/trunkline/trunkline/internal/textarray"
)

// BenchmarkAppend measures append, and append_plain as nodes call it where
// nothing has a key, against the bare insert of the same rows, in turns on one
// connection, and reports what part of its rate they reach.
func BenchmarkAppend(b *testing.B) {
	const size = 256
	for _, kind := range []struct {
		count int
		plain bool
	}{{1, true}, {1, false}, {1000, true}, {1000, false}} {
		count := kind.count
		b.Run(fmt.Sprintf("topics=%d/plain=%v", count, kind.plain), func(b *testing.B) {
			ctx := context.Background()
			conn := connect(b, pgtest.URL(b))
			textarray.Register(conn.TypeMap())
			s := newStore(standardSchema(b), conn, nil)
			if _, err := s.queries.MakePartition(ctx, s.db, dbsqlc.MakePartitionParams{WidthSeconds: 86400, Ahead: 1, Patience: 50}); err != nil {
				b.Fatal(err)
			}
			exec(b, conn, `create table bare (like trunkline.messages including all) partition by range (inserted_at);
				create table bare_now partition of bare default`)
			var names []string
			for i := range count {
				names = append(names, fmt.Sprint("topic:", i))
			}
			topics, err := s.ensureTopics(ctx, names)
			if err != nil {
				b.Fatal(err)
			}
			exec(b, conn, "analyze trunkline.topics")
			payload := []byte(`{"body":"` + strings.Repeat("x", 128-11) + `"}`)
			next := int64(0)
			batch := make([]entry, size)
			ids := make([]int64, size)
			fill := func() {
				for i := range batch {
					next++
					batch[i] = entry{topicID: topics[names[int(next*7919)%count]].id, event: "new_msg", payload: payload}
					ids[i] = next
				}
				if !kind.plain {
					batch[0].key = fmt.Sprint(next)
				}
				slices.SortStableFunc(batch, func(a, b entry) int { return cmp.Compare(a.topicID, b.topicID) })
			}
			var bare, ours time.Duration
			for b.Loop() {
				fill()
				started := time.Now()
				columns := columns(batch, false)
				if _, err := conn.Exec(ctx, `insert into bare (topic_id, id, inserted_at, event, payload)
					select m.topic_id, m.id, now(), m.event, m.payload from unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[]) as m(topic_id, id, event, payload)`,
					columns.TopicIds, ids, columns.Events, columns.Payloads); err != nil {
					b.Fatal(err)
				}
				bare += time.Since(started)
				fill()
				started = time.Now()
				verdicts, _, err := s.append(ctx, batch, false)
				if err != nil || verdicts[size-1].status != statusStored {
					b.Fatal(verdicts, err)
				}
				ours += time.Since(started)
			}
			b.ReportMetric(float64(b.N*size)/bare.Seconds(), "bare_msgs/s")
			b.ReportMetric(float64(b.N*size)/ours.Seconds(), "append_msgs/s")
			b.ReportMetric(bare.Seconds()/ours.Seconds(), "ratio")
		})
	}
}
