package departures

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/trunkline/trunkline/internal/pgtest"
	"github.com/trunkline/trunkline/internal/presence"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// cluster is nodes on one database, and what they acted on.
type cluster struct {
	t     *testing.T
	pool  *pgxpool.Pool
	grace time.Duration

	mu   sync.Mutex
	fail int // so many acts fail
}

func newCluster(t *testing.T, grace time.Duration) *cluster {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), pgtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	c := &cluster{t: t, pool: pool, grace: grace}
	c.exec("create table acted (topic text, key text)")
	return c
}

func (c *cluster) exec(sql string, args ...any) {
	c.t.Helper()
	if _, err := c.pool.Exec(context.Background(), sql, args...); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) node() *Departures {
	c.t.Helper()
	d, err := New(Config{
		Pool:     c.pool,
		Grace:    func(topic string) (time.Duration, bool) { return c.grace, topic != "other" },
		Topics:   []string{"lobby"},
		Prefixes: []string{"room:"},
		Act: func(ctx context.Context, tx pgx.Tx, left []Departure) error {
			for _, l := range left {
				if _, err := tx.Exec(ctx, "insert into acted values ($1, $2)", l.Topic, l.Key); err != nil {
					return err
				}
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.fail > 0 {
				c.fail--
				return errors.New("not now")
			}
			return nil
		},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return d
}

func entries(topic string, keys ...string) (all []*presence.Entry) {
	for _, k := range keys {
		all = append(all, &presence.Entry{Topic: topic, Key: k})
	}
	return all
}

func join(d *Departures, topic string, keys ...string)  { d.Change(entries(topic, keys...), nil) }
func leave(d *Departures, topic string, keys ...string) { d.Change(nil, entries(topic, keys...)) }

func (c *cluster) write(nodes ...*Departures) {
	c.t.Helper()
	for _, d := range nodes {
		if err := d.write(context.Background()); err != nil {
			c.t.Fatal(err)
		}
	}
}

// dies is what the others see of a node that was killed.
func (c *cluster) dies(d *Departures) {
	c.t.Helper()
	c.exec("update trunkline.presence_leases set beat_at = '-infinity' where incarnation = $1", d.life)
}

func (c *cluster) beat(d *Departures) {
	c.t.Helper()
	d.beaten = time.Time{}
	if err := d.beat(context.Background()); err != nil {
		c.t.Fatal(err)
	}
}

// settle settles at once what would be settled later.
func (c *cluster) settle(nodes ...*Departures) {
	c.t.Helper()
	c.exec("update trunkline.presence_stays set settle_at = clock_timestamp() where settle_at is not null")
	var all sync.WaitGroup
	for _, d := range nodes {
		all.Go(func() {
			if err := d.settle(context.Background()); err != nil && !c.failing(err) {
				c.t.Error(err)
			}
		})
	}
	all.Wait()
}

func (c *cluster) failing(err error) bool { return err.Error() == "departures: settling: not now" }

func (c *cluster) want(want ...string) {
	c.t.Helper()
	rows, err := c.pool.Query(context.Background(), "select topic || ' ' || key from acted order by 1")
	if err != nil {
		c.t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		c.t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		c.t.Errorf("departures %q, want %q", got, want)
	}
}

func TestDepartures(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 0)
	a, b := c.node(), c.node()

	join(a, "room:1", "ann", "ann", "bob") // ann in two tabs
	join(a, "other", "ann")
	join(b, "lobby", "cid")
	c.write(a, b)
	a.Change(entries("room:1", "bob"), entries("room:1", "bob")) // an update
	leave(a, "room:1", "ann")
	leave(a, "other", "ann")
	leave(b, "lobby", "cid")
	c.write(a, b)
	c.settle(a, b)
	c.want("lobby cid")

	leave(a, "room:1", "ann")
	c.write(a)
	c.settle(a, b)
	c.want("lobby cid", "room:1 ann")

	// Who comes and goes at once has left all the same.
	join(b, "room:1", "dan")
	leave(b, "room:1", "dan")
	c.write(b)
	c.settle(a, b)
	c.want("lobby cid", "room:1 ann", "room:1 dan")
}

// Who is in a topic on two nodes departs with the last of them, whatever comes
// first: each order of events has one departure.
func TestDepartsFromTheLastNode(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 0)
	a, b := c.node(), c.node()
	join(a, "room:1", "ann")
	c.write(a)
	join(b, "room:1", "ann")
	leave(a, "room:1", "ann")
	c.write(a, b)
	c.settle(a, b)
	c.want()
	leave(b, "room:1", "ann")
	c.write(b)
	c.settle(a, b)
	c.want("room:1 ann")

	// Both nodes are killed.
	join(a, "room:1", "bob")
	join(b, "room:1", "bob")
	c.write(a, b)
	c.dies(a)
	c.dies(b)
	n := c.node()
	c.beat(n)
	c.settle(n, c.node())
	c.want("room:1 ann", "room:1 bob")
}

// A return within the grace is no departure, on whichever node.
func TestGrace(t *testing.T) {
	t.Parallel()
	c := newCluster(t, time.Hour)
	a, b := c.node(), c.node()
	join(a, "room:1", "ann", "bob")
	c.write(a)
	leave(a, "room:1", "ann", "bob")
	c.write(a)
	join(b, "room:1", "ann")
	c.write(b)
	c.settle(a, b) // as if the hour were over
	c.want("room:1 bob")
	leave(b, "room:1", "ann")
	c.write(b)
	c.settle(a, b)
	c.want("room:1 ann", "room:1 bob")
}

// Nothing is settled before others had the time to write who came.
func TestSettlesAfterTheGrace(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 0)
	a := c.node()
	join(a, "room:1", "ann")
	leave(a, "room:1", "ann")
	c.write(a)
	if err := a.settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.want()
}

// A node that was given up comes back: those who left meanwhile are not counted
// twice, those who are still there have come anew.
func TestAGivenUpNodeComesBack(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 0)
	a, b := c.node(), c.node()
	join(a, "room:1", "ann", "bob")
	c.write(a)
	c.dies(a)
	c.beat(b)
	c.settle(b)
	c.want("room:1 ann", "room:1 bob")

	leave(a, "room:1", "bob")
	join(a, "room:1", "cid", "dan")
	leave(a, "room:1", "dan")
	c.write(a)
	c.settle(a, b)
	c.want("room:1 ann", "room:1 bob", "room:1 dan")
	leave(a, "room:1", "ann", "cid")
	c.write(a)
	c.settle(a, b)
	c.want("room:1 ann", "room:1 ann", "room:1 bob", "room:1 cid", "room:1 dan")
}

// A batch whose outcome was lost is sent again and counts once, even when it
// was settled in between.
func TestABatchIsWrittenOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 0)
	a := c.node()
	join(a, "room:1", "ann")
	leave(a, "room:1", "ann")
	lost := a.stays.take(maxRows)
	a.batch++
	for range 2 {
		if err := a.send(t.Context(), lost); err != nil {
			t.Fatal(err)
		}
		c.settle(a)
	}
	c.want("room:1 ann")
}

// What fails to act is acted on later.
func TestActFails(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 0)
	a := c.node()
	join(a, "room:1", "ann")
	leave(a, "room:1", "ann")
	c.write(a)
	c.fail = 1
	c.settle(a)
	c.want()
	c.settle(a)
	c.want("room:1 ann")
}

// Run does it all, and a clean end ends the stays of its node.
func TestRun(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 0)
	a, b := c.node(), c.node()
	stop := func(d *Departures) func() {
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- d.Run(ctx) }()
		return func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}
	stopA, stopB := stop(a), stop(b)
	defer stopB()
	join(a, "room:1", "ann", "bob")
	leave(a, "room:1", "bob")
	c.wait("room:1 bob")
	stopA()
	c.wait("room:1 ann", "room:1 bob")
}

func (c *cluster) wait(want ...string) {
	c.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		n := 0
		if err := c.pool.QueryRow(context.Background(), "select count(*) from acted").Scan(&n); err != nil {
			c.t.Fatal(err)
		}
		if n >= len(want) {
			break
		}
	}
	c.want(want...)
}

// Random comings and goings on three nodes, which die and are given up: the
// departures are those of a model.
func TestRandom(t *testing.T) {
	t.Parallel()
	for range 10 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 0))
			c := newCluster(t, 0)
			nodes := []*Departures{c.node(), c.node(), c.node()}
			here := make([]map[string]int, len(nodes)) // metas
			for i := range here {
				here[i] = map[string]int{}
			}
			keys := []string{"ann", "bob", "cid"}
			departed := map[string]int{}
			gone := func(key string) {
				for _, h := range here {
					if h[key] > 0 {
						return
					}
				}
				departed[key]++
			}
			for range 150 {
				i, key := random.IntN(len(nodes)), keys[random.IntN(len(keys))]
				switch random.IntN(10) {
				case 0: // killed, and its successor starts
					c.write(nodes[i])
					c.dies(nodes[i])
					nodes[i] = c.node()
					c.beat(nodes[i])
					was := here[i]
					here[i] = map[string]int{}
					for _, k := range keys {
						if was[k] > 0 {
							gone(k)
						}
					}
				case 1:
					c.settle(nodes...)
				case 2, 3, 4, 5:
					join(nodes[i], "room:1", key)
					here[i][key]++
				default:
					if here[i][key] > 0 {
						leave(nodes[i], "room:1", key)
						if here[i][key]--; here[i][key] == 0 {
							gone(key)
						}
					}
				}
				c.write(nodes...)
			}
			c.settle(nodes...)
			var want []string
			for _, k := range keys {
				for range departed[k] {
					want = append(want, "room:1 "+k)
				}
			}
			c.want(want...)
		})
	}
}
