package history

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/trunkline/trunkline/internal/pgtest"
	"github.com/trunkline/trunkline/internal/textarray"
)

const bareInsert = `insert into bare (topic_id, id, inserted_at, event, payload)
	select m.topic_id, m.id, now(), m.event, m.payload
	from unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[]) as m(topic_id, id, event, payload)`

// benchDatabase has a table like that of the messages, and durable commits,
// which the servers of tests have not.
func benchDatabase(b *testing.B) (url string, conn *pgx.Conn) {
	server := pgtest.Server(b, pgtest.WithSettings(map[string]string{"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}))
	url = server.URL()
	pgtest.Migrate(b, url)
	conn = connect(b, url)
	textarray.Register(conn.TypeMap()) // as those of the pool have it
	for _, setting := range []string{"fsync", "synchronous_commit"} {
		if value := ask[string](b, conn, "show "+setting); value != "on" {
			b.Fatalf("%s is %s", setting, value)
		}
	}
	exec(b, conn, `create table bare (like trunkline.messages including all) partition by range (inserted_at);
		create table bare_now partition of bare default`)
	return url, conn
}

// A bareBatcher stores what queued, as plainly as that can be done.
type bareBatcher struct {
	conn  *pgx.Conn
	queue chan chan struct{}
}

func (s *bareBatcher) run(payload string) error {
	id := int64(0)
	for done := range s.queue {
		batch := []chan struct{}{done}
		for len(batch) < batchMessages && len(s.queue) > 0 {
			batch = append(batch, <-s.queue)
		}
		topics, ids := make([]int64, len(batch)), make([]int64, len(batch))
		events, payloads := make([]string, len(batch)), make([]string, len(batch))
		for i := range batch {
			id++
			topics[i], ids[i], events[i], payloads[i] = 1, id, "new_msg", payload
		}
		if _, err := s.conn.Exec(context.Background(), bareInsert, topics, ids, events, payloads); err != nil {
			return err
		}
		for _, done := range batch {
			done <- struct{}{}
		}
	}
	return nil
}

// BenchmarkPublishers measures 512 publishers in a closed loop, and what part of
// the rate of a bare multi-row insert they reach: in turns of half a second. Both
// have the same payloads, callers, batches, table and durability; the bare rows
// are all of one topic. Reported as well is the processor time of a message in
// this process, all callers included, and in Postgres. There is no bus, as of a
// node that is alone; the load tool's durable scenario has one, and two nodes.
func BenchmarkPublishers(b *testing.B) {
	const publishers = 512
	for _, topics := range []int{1, 1000} {
		b.Run(fmt.Sprintf("topics=%d", topics), func(b *testing.B) {
			url, conn := benchDatabase(b)
			watcher := connect(b, url)
			n := startReal(b, url, Config{})
			payload := `{"body":"` + strings.Repeat("x", 128-11) + `"}`
			payloadBytes := []byte(payload)
			names := make([]string, topics)
			for i := range names {
				names[i] = fmt.Sprint("room:", i)
			}
			bare := &bareBatcher{conn: conn, queue: make(chan chan struct{}, publishers)}
			failed := make(chan error, 1)
			go func() { failed <- bare.run(payload) }()

			phase := func(publish func(worker, i int) error, cpu *cpuMeter) (messages int64, took time.Duration) {
				cpu.start(b)
				defer cpu.stop(b)
				var stored atomic.Int64
				var all sync.WaitGroup
				began := time.Now()
				for worker := range publishers {
					all.Go(func() {
						for i := 0; time.Since(began) < 500*time.Millisecond; i++ {
							if err := publish(worker, i); err != nil {
								b.Error(err)
								return
							}
							stored.Add(1)
						}
					})
				}
				all.Wait()
				return stored.Load(), time.Since(began)
			}
			ours := func(worker, i int) error {
				_, err := n.Publish(context.Background(), names[(worker*7919+i)%topics], "new_msg", payloadBytes, "")
				return err
			}
			dones := make([]chan struct{}, publishers)
			for i := range dones {
				dones[i] = make(chan struct{}, 1)
			}
			theirs := func(worker, _ int) error {
				bare.queue <- dones[worker]
				<-dones[worker]
				return nil
			}
			phase(ours, &cpuMeter{conn: watcher}) // makes the topics
			exec(b, watcher, "analyze trunkline.topics")
			var rates [2]float64
			var messages [2]int64
			cpus := [2]cpuMeter{{conn: watcher}, {conn: watcher}}
			for b.Loop() {
				for i, publish := range []func(worker, i int) error{theirs, ours} {
					stored, took := phase(publish, &cpus[i])
					rates[i] += float64(stored) / took.Seconds()
					messages[i] += stored
				}
			}
			close(bare.queue)
			if err := <-failed; err != nil {
				b.Fatal(err)
			}
			for i, name := range []string{"bare", "publish"} {
				b.ReportMetric(rates[i]/float64(b.N), name+"_msgs/s")
				b.ReportMetric(float64(cpus[i].own.Nanoseconds())/1000/float64(messages[i]), name+"_go_us/msg")
				b.ReportMetric(float64(cpus[i].postgres.Nanoseconds())/1000/float64(messages[i]), name+"_pg_us/msg")
			}
			b.ReportMetric(rates[1]/rates[0], "ratio")
			b.ReportMetric(testutil.ToFloat64(n.metrics.published.WithLabelValues("stored"))/float64(n.statements("append")), "msgs/batch")
		})
	}
}

// BenchmarkPublishLatency publishes 100 messages a second, in turns with a
// commit of a single row on one connection.
func BenchmarkPublishLatency(b *testing.B) {
	url, conn := benchDatabase(b)
	n := startReal(b, url, Config{})
	defer n.follow(b, "room:1")()
	delivered := make(chan time.Time, 16)
	n.config.Deliver = func(string, []*Message) { delivered <- time.Now() }
	payload := []byte(`{"body":"` + strings.Repeat("x", 128-11) + `"}`)
	var single, ack, end []time.Duration
	id := int64(0)
	for b.Loop() {
		time.Sleep(5 * time.Millisecond)
		id++
		began := time.Now()
		if _, err := conn.Exec(context.Background(), bareInsert, []int64{1}, []int64{id}, []string{"new_msg"}, []string{string(payload)}); err != nil {
			b.Fatal(err)
		}
		single = append(single, time.Since(began))
		time.Sleep(5 * time.Millisecond)
		began = time.Now()
		if _, err := n.Publish(context.Background(), "room:1", "new_msg", payload, ""); err != nil {
			b.Fatal(err)
		}
		ack = append(ack, time.Since(began))
		end = append(end, (<-delivered).Sub(began))
	}
	median := func(d []time.Duration) float64 {
		slices.Sort(d)
		return float64(d[len(d)/2].Microseconds()) / 1000
	}
	b.ReportMetric(median(single), "commit_p50_ms")
	b.ReportMetric(median(ack), "publish_p50_ms")
	b.ReportMetric(median(end), "delivery_p50_ms")
	b.ReportMetric(median(ack)/median(single), "ratio")
}
