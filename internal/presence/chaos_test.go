package presence_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/trunkline/trunkline/internal/presence"
)

// TestChaos lets nodes and their clients live through losses, holes, kills and
// restarts. Healed, all list what the living nodes track, and each client that
// was pushed a list at some moment, and applied all diffs since, has the same.
func TestChaos(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		// What is drawn outside of the bubble decides all that happens in it.
		seed := rapid.Uint64().Draw(rt, "seed")
		steps := rapid.IntRange(10, 60).Draw(rt, "steps")
		options := presence.Options{Grace: rapid.SampledFrom([]time.Duration{0, 2 * time.Second}).Draw(rt, "grace")}
		interval := rapid.SampledFrom([]time.Duration{0, -1, time.Second}).Draw(rt, "interval")
		failed := !t.Run("", func(t *testing.T) {
			simulate(t, func(t *testing.T, n *network) {
				c := &chaos{t: t, network: n, rand: rand.New(rand.NewPCG(seed, 0)), set: func(config *presence.Config) {
					config.DiffInterval = interval
					config.Options = func(string) presence.Options { return options }
				}}
				c.run(steps)
			})
		})
		if failed {
			rt.Fatalf("see above")
		}
	})
}

type chaos struct {
	*network
	t     *testing.T
	rand  *rand.Rand
	set   func(*presence.Config)
	alive []*node
	owned []tracked
	names int
}

type tracked struct {
	node       *node
	owner      presence.Owner
	topic, key string
}

func (c *chaos) run(steps int) {
	for range 3 {
		c.startOne()
	}
	for range steps {
		c.step()
		time.Sleep(time.Duration(c.rand.IntN(1000)) * time.Millisecond)
	}
	c.lose(0)
	for _, nd := range c.alive {
		nd.heal()
	}
	time.Sleep(15 * time.Second) // the killed are down, and the grace is over
	for _, topic := range []string{"one", "two"} {
		want := make(map[string]int)
		for _, tr := range c.owned {
			if tr.topic == topic {
				want[tr.key]++
			}
		}
		for _, nd := range c.alive {
			got := make(map[string]int)
			for key, listed := range nd.tracker.List(c.t.Context(), topic) {
				got[key] = len(listed.Metas)
			}
			if !maps.Equal(got, want) {
				c.t.Errorf("node %s lists %v in %s, want %v", nd.id, got, topic, want)
			}
			wantClients(c.t, nd, topic)
		}
	}
}

func (c *chaos) step() {
	topic := []string{"one", "two"}[c.rand.IntN(2)]
	nd := c.alive[c.rand.IntN(len(c.alive))]
	switch p := c.rand.IntN(100); {
	case p < 35:
		key := fmt.Sprintf("u%d", c.rand.IntN(4))
		c.owned = append(c.owned, tracked{nd, nd.track(topic, key), topic, key})
	case p < 50 && len(c.owned) > 0:
		i := c.rand.IntN(len(c.owned))
		tr := c.owned[i]
		tr.node.tracker.UntrackOwner(tr.owner)
		c.owned = slices.Delete(c.owned, i, i+1)
	case p < 60 && len(c.owned) > 0:
		tr := c.owned[c.rand.IntN(len(c.owned))]
		if _, err := tr.node.tracker.Update(tr.owner, tr.topic, tr.key, json.RawMessage(`{"n":1}`)); err != nil {
			c.t.Errorf("update: %v", err)
		}
	case p < 70:
		cl := nd.watch(topic)
		state := nd.state(topic)
		time.Sleep(time.Duration(c.rand.IntN(300)) * time.Millisecond)
		nd.push(cl, state)
	case p < 76:
		c.lose(c.rand.Float64() / 2)
	case p < 82:
		nd.cut()
	case p < 90:
		nd.heal()
	case p < 94 && len(c.alive) > 1:
		c.end(nd, nd.kill)
	case p < 97 && len(c.alive) > 1:
		c.end(nd, nd.shutDown)
	case len(c.alive) < 5:
		c.startOne()
	}
	if c.rand.IntN(4) == 0 {
		time.Sleep(time.Duration(c.rand.IntN(12)) * time.Second)
	}
}

func (c *chaos) startOne() {
	c.names++
	id := fmt.Sprintf("n%d", c.names)
	name := fmt.Sprintf("stable%d", c.rand.IntN(3))
	if slices.ContainsFunc(c.alive, func(nd *node) bool { return nd.name == name }) {
		name = id
	}
	nd := c.start(id, c.set, func(config *presence.Config) { config.Name = name })
	nd.name = name
	c.alive = append(c.alive, nd)
}

func (c *chaos) end(nd *node, how func()) {
	how()
	c.alive = slices.DeleteFunc(c.alive, func(o *node) bool { return o == nd })
	c.owned = slices.DeleteFunc(c.owned, func(tr tracked) bool { return tr.node == nd })
}
