package pubsub

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trunkline/trunkline/internal/pgtest"
)

// The benchmarks compare the bus with bare NOTIFY in the same run, because
// absolute figures say more about the machine than about the bus.

const benchListeners = 3

var benchBody = []byte(strings.Repeat("x", 128))

// BenchmarkThroughput publishes 128-byte messages from one node to three. The
// floor is full payloads sent one a transaction to three bare listeners, at 55
// messages each.
func BenchmarkThroughput(b *testing.B) {
	const messages = 50_000
	url := pgtest.URL(b)
	var got atomic.Int64
	for range benchListeners {
		runCounting(b, url, func(Message) { got.Add(1) })
	}
	sender := runCounting(b, url, func(Message) {})
	bare := listenBare(b, url)
	var bus, floor time.Duration
	payloads := 0
	for b.Loop() {
		got.Store(0)
		began := time.Now()
		for range messages {
			for errors.Is(sender.Publish(testKind, "room:lobby", benchBody), ErrQueueFull) {
				time.Sleep(time.Millisecond)
			}
		}
		for got.Load() < messages*benchListeners {
			time.Sleep(time.Millisecond)
		}
		bus += time.Since(began)

		began = time.Now()
		payloads += bare.send(b, messages/55, strings.Repeat("x", 7990))
		floor += time.Since(began)
	}
	busRate := float64(messages*b.N) / bus.Seconds()
	floorRate := 55 * float64(payloads) / floor.Seconds()
	b.ReportMetric(busRate, "msgs/s")
	b.ReportMetric(floorRate, "floor-msgs/s")
	b.ReportMetric(busRate/floorRate, "of-floor")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkLatency sends one message at a time, with pauses, to three nodes, and
// does the same with bare NOTIFY.
func BenchmarkLatency(b *testing.B) {
	url := pgtest.URL(b)
	arrived := make(chan time.Time, benchListeners)
	for range benchListeners {
		runCounting(b, url, func(Message) { arrived <- time.Now() })
	}
	sender := runCounting(b, url, func(Message) {})
	bare := listenBare(b, url)
	last := func() (latest time.Time) {
		for range benchListeners {
			if t := <-arrived; t.After(latest) {
				latest = t
			}
		}
		return latest
	}
	var bus, floor []time.Duration
	for b.Loop() {
		time.Sleep(10 * time.Millisecond)
		began := time.Now()
		if err := sender.Publish(testKind, "room:lobby", benchBody); err != nil {
			b.Fatal(err)
		}
		bus = append(bus, last().Sub(began))

		time.Sleep(10 * time.Millisecond)
		began = time.Now()
		bare.send(b, 1, string(benchBody))
		floor = append(floor, time.Since(began))
	}
	quantile := func(d []time.Duration, q float64) float64 {
		slices.Sort(d)
		return float64(d[int(q*float64(len(d)-1))].Microseconds())
	}
	b.ReportMetric(quantile(bus, 0.5), "p50-µs")
	b.ReportMetric(quantile(bus, 0.99), "p99-µs")
	b.ReportMetric(quantile(floor, 0.5), "bare-p50-µs")
	b.ReportMetric(quantile(floor, 0.99), "bare-p99-µs")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkPack is the cost of encoding, without Postgres.
func BenchmarkPack(b *testing.B) {
	s := &stream{channel: "all"}
	var batch []outgoing
	for range 1000 {
		s.accepted++
		batch = append(batch, outgoing{stream: s, counter: s.accepted, kind: testKind, topic: "room:lobby", body: benchBody})
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, payload := range pack(testNode, batch).payloads {
			_, content, err := decodeHeader(payload)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := decodeFrames(content); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(1000*b.N), "ns/msg")
}

func runCounting(b *testing.B, url string, handler func(Message)) *Bus {
	b.Helper()
	bus, err := New(Config{DirectURL: url, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	bus.Handle(testKind, handler)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- bus.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
	select {
	case <-bus.Started():
	case <-time.After(patience):
		b.Fatal(bus.Ready())
	}
	return bus
}

// A bare is a plain notifier and plain listeners.
type bare struct {
	notifier *pgx.Conn
	got      chan struct{}
}

func listenBare(b *testing.B, url string) *bare {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &bare{notifier: session(b, url), got: make(chan struct{}, 1<<16)}
	var working sync.WaitGroup
	for range benchListeners {
		conn := session(b, url)
		if _, err := conn.Exec(ctx, "listen bare"); err != nil {
			b.Fatal(err)
		}
		working.Go(func() {
			for {
				if _, err := conn.WaitForNotification(ctx); err != nil {
					return
				}
				r.got <- struct{}{}
			}
		})
	}
	b.Cleanup(func() { cancel(); working.Wait() })
	return r
}

// send notifies count times, one a transaction, and waits for all listeners.
func (r *bare) send(b *testing.B, count int, payload string) int {
	b.Helper()
	for range count {
		if _, err := r.notifier.Exec(context.Background(), "select pg_notify('bare', $1)", payload); err != nil {
			b.Fatal(err)
		}
	}
	for range count * benchListeners {
		<-r.got
	}
	return count
}
