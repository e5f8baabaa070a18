package pubsub

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/trunkline/trunkline/internal/devdb"
	"github.com/trunkline/trunkline/internal/pgtest"
)

// A load publishes numbered messages from one node until it is stopped.
type load struct {
	stop func() int // and returns how many were accepted
}

func startLoad(t testing.TB, n *node, every time.Duration) load {
	t.Helper()
	quit := make(chan struct{})
	accepted := 0
	var working sync.WaitGroup
	working.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				if err := n.Publish(testKind, "load", []byte(strconv.Itoa(accepted))); err != nil {
					t.Errorf("publishing: %v", err)
					return
				}
				accepted++
			}
		}
	})
	stop := sync.OnceFunc(func() { close(quit); working.Wait() })
	t.Cleanup(stop)
	return load{stop: func() int { stop(); return accepted }}
}

// settle waits until each of the accepted messages was received or counted as
// lost, and checks that none came twice or out of order.
func (n *node) settle(t testing.TB, accepted int) {
	t.Helper()
	told := func() (count int) {
		for _, l := range n.losses {
			count += l.Count
		}
		return count
	}
	n.wait(t, "each message as received or lost", func() bool { return len(n.messages)+told() >= accepted })
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.messages)+told() != accepted || int(n.lostTotal()) != told() {
		t.Errorf("%d accepted, %d received, %d told as lost, %v in the metric", accepted, len(n.messages), told(), n.lostTotal())
	}
	last := -1
	for _, m := range n.messages {
		number, err := strconv.Atoi(string(m.Body))
		if err != nil || number <= last {
			t.Fatalf("%q came after %d", m.Body, last)
		}
		last = number
	}
	t.Logf("%d accepted, %d received, %d lost", accepted, len(n.messages), told())
}

// awaitNew waits for a message that arrives from now on.
func (n *node) awaitNew(t testing.TB) {
	t.Helper()
	n.mu.Lock()
	have := len(n.messages)
	n.mu.Unlock()
	n.await(t, have+1)
}

// terminate ends the backend of a bus's connection and returns when it is gone.
func terminate(t testing.TB, conn *pgx.Conn, node, use string) {
	t.Helper()
	var ended int
	err := conn.QueryRow(context.Background(), `
		select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity
		where datname = current_database() and application_name = $1`, "trunkline "+node+" "+use).Scan(&ended)
	if err != nil || ended != 1 {
		t.Fatalf("%d backends of %s %s ended, %v", ended, node, use, err)
	}
}

// The listening backend is terminated again and again under load: each time
// messages flow again within a second, and what was missed is counted.
func TestListenerTerminatedUnderLoad(t *testing.T) { // alone, for its timing
	const rounds = 20
	url := pgtest.URL(t)
	conn := session(t, url)
	a, b := start(t, Config{DirectURL: url, Node: "a"}), start(t, Config{DirectURL: url, Node: "b"})
	l := startLoad(t, a, time.Millisecond)
	control := startControl(t, url)
	longest := time.Duration(0)
	for round := range rounds {
		b.awaitNew(t)
		control.slowest() // forget the time before
		terminate(t, conn, "b", "listener")
		killed := time.Now()
		b.wait(t, "the mark of a reconnect", func() bool {
			marks := 0
			for _, l := range b.losses {
				if l.Node == "" {
					marks++
				}
			}
			return marks == round+1
		})
		b.awaitNew(t)
		took := time.Since(killed)
		longest = max(longest, took)
		if slow := control.slowest(); took > time.Second+slow {
			t.Errorf("repair %d took %v, while a plain connection and a plain notification took up to %v", round, took, slow)
		}
	}
	t.Logf("the longest repair took %v", longest)
	b.settle(t, l.stop())
	if n := testutil.ToFloat64(b.metrics.reconnects.WithLabelValues("listener")); n != rounds {
		t.Errorf("%v reconnects are counted", n)
	}
}

func TestNotifierTerminatedUnderLoad(t *testing.T) { // alone, for its timing
	const rounds = 10
	url := pgtest.URL(t)
	conn := session(t, url)
	a, b := start(t, Config{DirectURL: url, Node: "a"}), start(t, Config{DirectURL: url, Node: "b"})
	l := startLoad(t, a, time.Millisecond)
	control := startControl(t, url)
	for round := range rounds {
		b.awaitNew(t)
		control.slowest()
		terminate(t, conn, "a", "notifier")
		killed := time.Now()
		b.awaitNew(t)
		took := time.Since(killed)
		if slow := control.slowest(); took > time.Second+slow {
			t.Errorf("repair %d took %v, while a plain connection and a plain notification took up to %v", round, took, slow)
		}
	}
	b.settle(t, l.stop())
}

// Postgres goes away and comes back: nothing fails meanwhile, and messages flow
// again within two seconds.
func TestPostgresRestarts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		mode devdb.StopMode
		away time.Duration
	}{
		{"fast, away for 10s", devdb.Fast, 10 * time.Second},
		{"immediate, away for 1s", devdb.Immediate, time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ctx := context.Background()
			server := pgtest.Server(t)
			url := server.URL()
			pgtest.Migrate(t, url)
			a, b := start(t, Config{DirectURL: url}), start(t, Config{DirectURL: url})
			l := startLoad(t, a, 5*time.Millisecond)
			b.awaitNew(t)
			if err := server.StopServer(ctx, test.mode); err != nil {
				t.Fatal(err)
			}
			a.awaitReady(t, false)
			b.awaitReady(t, false)
			time.Sleep(test.away)
			if err := server.StartServer(ctx); err != nil {
				t.Fatal(err)
			}
			back := time.Now()
			b.awaitNew(t)
			took := time.Since(back)
			a.awaitReady(t, true)
			b.awaitReady(t, true)
			if took > 2*time.Second {
				t.Errorf("messages flowed %v after the return", took)
			}
			t.Logf("messages flowed %v after the return", took)
			b.settle(t, l.stop())
			// What was published in the last seconds of the outage was kept.
			if n := len(b.messages); n < 400 && test.away > 5*time.Second {
				t.Errorf("only %d messages outlived the outage", n)
			}
		})
	}
}

// The network swallows everything: noticed within five seconds, and mended as
// soon as connections can be made again.
func TestBlackHole(t *testing.T) {
	t.Parallel()
	for name, hole := range map[string]func(*proxy){
		"both":     func(p *proxy) { p.freeze() },
		"idle":     func(p *proxy) { p.freeze() }, // nothing but heartbeats is under way
		"listener": func(p *proxy) { p.freezeOnly(0) },
		"notifier": func(p *proxy) { p.freezeOnly(1) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := pgtest.URL(t)
			p := newProxy(t, url)
			a, b := start(t, Config{DirectURL: url}), start(t, Config{DirectURL: p.url})
			var fromA, fromB load
			begin := func() {
				fromA, fromB = startLoad(t, a, 5*time.Millisecond), startLoad(t, b, 5*time.Millisecond)
			}
			if name != "idle" {
				begin()
				a.awaitNew(t)
				b.awaitNew(t)
			}
			// Heartbeats make the nodes known to each other.
			awaitCounter(t, a.metrics.bytesReceived, 1)
			awaitCounter(t, b.metrics.bytesReceived, 1)
			hole(p)
			if name == "both" || name == "idle" {
				noticed := b.awaitReady(t, false)
				t.Logf("noticed after %v", noticed)
				if noticed > 5*time.Second {
					t.Errorf("noticed after %v", noticed)
				}
				p.admit()
			}
			if name == "idle" {
				begin()
			}
			holed := time.Now()
			for _, connection := range []string{"listener", "notifier"} {
				if name == connection || name == "both" || name == "idle" {
					awaitCounter(t, b.metrics.reconnects.WithLabelValues(connection), 1)
				}
			}
			if took := time.Since(holed); took > 5*time.Second {
				t.Errorf("the connection was given up after %v", took)
			}
			b.awaitReady(t, true)
			a.awaitNew(t)
			b.awaitNew(t)
			t.Logf("mended after %v", time.Since(holed))
			a.settle(t, fromB.stop())
			b.settle(t, fromA.stop())
		})
	}
}

// The network holds everything back and then delivers it: late messages do not
// spoil the order, and a short hold costs nothing.
func TestNetworkStalls(t *testing.T) {
	t.Parallel()
	for _, stall := range []time.Duration{time.Second, 3 * time.Second, 6 * time.Second} {
		t.Run(fmt.Sprint(stall), func(t *testing.T) {
			t.Parallel()
			url := pgtest.URL(t)
			p := newProxy(t, url)
			a, b := start(t, Config{DirectURL: url}), start(t, Config{DirectURL: p.url})
			fromA, fromB := startLoad(t, a, 5*time.Millisecond), startLoad(t, b, 5*time.Millisecond)
			a.awaitNew(t)
			b.awaitNew(t)
			p.freeze()
			time.Sleep(stall)
			p.thaw()
			b.awaitReady(t, true)
			a.awaitNew(t)
			b.awaitNew(t)
			a.settle(t, fromB.stop())
			b.settle(t, fromA.stop())
			if lost := a.lostTotal() + b.lostTotal(); stall == time.Second && lost != 0 {
				t.Errorf("%v messages lost", lost)
			}
		})
	}
}

// Without Postgres at the start, Run gives up in time and says why.
func TestStartTimeout(t *testing.T) {
	t.Parallel()
	b := prepare(t, Config{DirectURL: "postgres://postgres@127.0.0.1:1/x", StartTimeout: 300 * time.Millisecond})
	started := time.Now()
	err := b.Run(context.Background())
	if err == nil || time.Since(started) > 5*time.Second {
		t.Errorf("Run returned %v after %v", err, time.Since(started))
	}
	t.Log(err)
}

// A bus that is told to end while it cannot connect ends without an error.
func TestStopDuringStart(t *testing.T) {
	t.Parallel()
	b := prepare(t, Config{DirectURL: "postgres://postgres@127.0.0.1:1/x"})
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if err := b.Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
}

// A bus ends in time while the network swallows everything.
func TestStopInBlackHole(t *testing.T) {
	t.Parallel()
	p := newProxy(t, pgtest.URL(t))
	b := start(t, Config{DirectURL: p.url})
	p.freeze()
	b.publish(t, "t", "")
	started := time.Now()
	b.stop()
	if took := time.Since(started); took > 6*time.Second {
		t.Errorf("Run took %v to end", took)
	}
}

// Large messages go on being fetched after the fetching connection was lost.
func TestFetcherTerminated(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	conn := session(t, url)
	a, b := start(t, Config{DirectURL: url, Node: "a"}), start(t, Config{DirectURL: url, Node: "b"})
	large := strings.Repeat("x", 20_000)
	for round := range 3 {
		a.publish(t, "large", large)
		b.await(t, round+1)
		terminate(t, conn, "b", "fetcher")
	}
	if n := b.lostTotal(); n != 0 {
		t.Errorf("%v messages lost", n)
	}
}

// The network swallows a fetch: it is tried again over another connection, or
// counted as a loss when its time is up; what is behind it follows.
func TestFetcherInBlackHole(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		timeout time.Duration
		lost    int
	}{
		"tried again": {20 * time.Second, 0},
		"given up":    {300 * time.Millisecond, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := pgtest.URL(t)
			p := newProxy(t, url)
			a, b := start(t, Config{DirectURL: url}), start(t, Config{DirectURL: p.url, FetchTimeout: test.timeout})
			large := strings.Repeat("x", 20_000)
			a.publish(t, "large", large)
			b.await(t, 1)
			p.freezeOnly(2) // after the listener and the notifier
			a.publish(t, "large", large)
			a.publish(t, "small", "")
			a.publish(t, "large", large)
			if got := b.await(t, 4-test.lost); got[3-test.lost].Topic != "large" || got[2-test.lost].Topic != "small" {
				t.Errorf("the order is %q, %q", got[2-test.lost].Topic, got[3-test.lost].Topic)
			}
			if n := int(b.lostTotal()); n != test.lost {
				t.Errorf("%d messages lost, want %d", n, test.lost)
			}
		})
	}
}
