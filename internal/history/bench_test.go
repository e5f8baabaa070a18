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
)

const bareInsert = `insert into bare (topic_id, id, inserted_at, event, payload)
	select m.topic_id, m.id, now(), m.event, m.payload
	from unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[]) as m(topic_id, id, event, payload)`

// benchDatabase has a table like that of the messages, and durable commits.
func benchDatabase(b *testing.B) (url string, conn *pgx.Conn) {
	url = pgtest.URL(b)
	conn = connect(b, url)
	if ask[string](b, conn, "show fsync") == "off" { // as in the servers of tests
		exec(b, conn, "alter system set fsync = on")
		exec(b, conn, "select pg_reload_conf()")
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
// the rate of a bare multi-row insert they reach: in turns of half a second.
func BenchmarkPublishers(b *testing.B) {
	const publishers = 512
	for _, topics := range []int{1, 1000} {
		b.Run(fmt.Sprintf("topics=%d", topics), func(b *testing.B) {
			url, conn := benchDatabase(b)
			n := startReal(b, url, Config{})
			payload := `{"body":"` + strings.Repeat("x", 128-11) + `"}`
			bare := &bareBatcher{conn: conn, queue: make(chan chan struct{}, publishers)}
			failed := make(chan error, 1)
			go func() { failed <- bare.run(payload) }()

			phase := func(publish func(worker, i int) error) float64 {
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
				return float64(stored.Load()) / time.Since(began).Seconds()
			}
			ours := func(worker, i int) error {
				topic := fmt.Sprint("room:", (worker*7919+i)%topics)
				_, err := n.Publish(context.Background(), topic, "new_msg", []byte(payload), "")
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
			phase(ours) // makes the topics
			exec(b, conn, "analyze trunkline.topics")
			var oursRate, bareRate float64
			for b.Loop() {
				bareRate += phase(theirs)
				oursRate += phase(ours)
			}
			close(bare.queue)
			if err := <-failed; err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(bareRate/float64(b.N), "bare_msgs/s")
			b.ReportMetric(oursRate/float64(b.N), "publish_msgs/s")
			b.ReportMetric(oursRate/bareRate, "ratio")
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
	n.config.Deliver = func(string, *Message) { delivered <- time.Now() }
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
