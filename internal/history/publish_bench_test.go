package history

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trunkline/trunkline/internal/pgtest"
)

// BenchmarkPublish measures an application's transactions on sixteen
// connections, with and without publish in them, in turns, beside a relay, and
// reports what part of the rate is left. The relay's work counts: each turn ends
// when the outbox is empty.
func BenchmarkPublish(b *testing.B) {
	const connections, each, topics = 16, 100, 1000
	ctx := context.Background()
	url := pgtest.URL(b)
	m := maintainerOn(b, url, Pattern{Pattern: "room:*"}, Pattern{Pattern: "order:*"})
	if err := m.makePartitions(ctx, newStore(m.schema, m.db, nil)); err != nil {
		b.Fatal(err)
	}
	relay := startRelay(b, url)
	relay.await(b, leads)
	watcher := connect(b, url)
	exec(b, watcher, "create table app (id bigint generated always as identity primary key, body text)")
	var conns []*pgx.Conn
	for range connections {
		conns = append(conns, connect(b, url))
	}
	turn := func(publish bool) time.Duration {
		started := time.Now()
		var working sync.WaitGroup
		for c, conn := range conns {
			working.Go(func() {
				for i := range each {
					err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
						if _, err := tx.Exec(ctx, "insert into app (body) values ('hello')"); err != nil || !publish {
							return err
						}
						_, err := tx.Exec(ctx, "select trunkline.publish($1, 'new_order', $2::text::jsonb)", fmt.Sprint("order:", (c*each+i*7919)%topics), `{"body": "`+fmt.Sprintf("%0116d", i)+`"}`)
						return err
					})
					if err != nil {
						b.Error(err)
					}
				}
			})
		}
		working.Wait()
		return time.Since(started)
	}
	var plain, publishing, relayed time.Duration
	for b.Loop() {
		plain += turn(false)
		started := time.Now()
		publishing += turn(true)
		for ask[int](b, watcher, "select count(*) from trunkline.outbox") > 0 {
			time.Sleep(time.Millisecond)
		}
		relayed += time.Since(started)
	}
	transactions := float64(b.N * connections * each)
	b.ReportMetric(transactions/plain.Seconds(), "plain_tx/s")
	b.ReportMetric(transactions/publishing.Seconds(), "publish_tx/s")
	b.ReportMetric(transactions/relayed.Seconds(), "relayed_msgs/s")
	b.ReportMetric(plain.Seconds()/publishing.Seconds(), "ratio")
}

// BenchmarkDrain measures how fast a backlog of the outbox is moved.
func BenchmarkDrain(b *testing.B) {
	ctx := context.Background()
	s := storeOn(b, pgtest.URL(b))
	for b.Loop() {
		b.StopTimer()
		exec(b, s.db, `insert into trunkline.outbox (topic, event, payload)
			select 'order:' || (n * 7919) % 1000, 'e', '{"body": "' || repeat('x', 115) || '"}' from generate_series(1, $1) n`, drainLimit)
		b.StartTimer()
		if rows, err := s.drain(ctx, 0, drainLimit); err != nil || len(rows) != drainLimit {
			b.Fatal(len(rows), err)
		}
	}
	b.ReportMetric(float64(b.N*drainLimit)/b.Elapsed().Seconds(), "msgs/s")
}
