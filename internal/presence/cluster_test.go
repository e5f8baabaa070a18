package presence

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestClusterConverges drives three to five replicas through random changes,
// partitions, kills, starts, leaves and lost, doubled and reordered messages,
// heals everything, and wants that all list the same soon: what the living own.
// For 10,000 runs:
//
//	go test ./internal/presence -run TestClusterConverges -rapid.checks=10000
func TestClusterConverges(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := newSimCluster(t)
		steps := map[string]func(*rapid.T){
			"change":    c.change,
			"tick":      func(t *rapid.T) { c.draw(t).tick(c) },
			"tick all":  func(*rapid.T) { c.tickAll() },
			"deliver":   c.deliver,
			"drop":      c.drop,
			"double":    c.double,
			"partition": c.partition,
			"heal":      c.heal,
			"silence":   func(t *rapid.T) { c.now = c.now.Add(rapid.SampledFrom(silences).Draw(t, "for")) },
			"kill":      c.kill,
			"leave":     c.leave,
			"start":     c.start,
		}
		weighted := slices.Concat(slices.Sorted(maps.Keys(steps)),
			slices.Repeat([]string{"change"}, 8), slices.Repeat([]string{"tick", "tick all"}, 3),
			slices.Repeat([]string{"deliver"}, 10), slices.Repeat([]string{"drop"}, 2))
		for range rapid.IntRange(10, 100).Draw(t, "steps") {
			steps[rapid.SampledFrom(weighted).Draw(t, "step")](t)
			c.check(t)
		}
		c.healAll(t)
	})
}

const (
	simPeriod   = time.Second
	simDown     = 4 * simPeriod
	simPermdown = 12 * simPeriod
)

var silences = []time.Duration{simPeriod, simDown + simPeriod, simPermdown + simPeriod}

// simCluster is replicas and the messages between them.
type simCluster struct {
	t       *rapid.T
	now     time.Time
	nodes   []*simNode
	vsn     uint64
	apart   map[[2]int]bool
	network []simMessage
}

// simNode does what a tracker does, with the parts of this package.
type simNode struct {
	i        int
	alive    bool
	state    *State
	gens     *Generations
	replicas *Replicas
	heard    ClockSet
	visible  map[Tag]*Entry // by joins and leaves alone
}

// simMessage is what travels, encoded.
type simMessage struct {
	from, to int
	sender   Replica
	kind     string
	clock    []byte
	delta    []byte
}

func newSimCluster(t *rapid.T) *simCluster {
	c := &simCluster{t: t, now: time.Unix(1000, 0), apart: make(map[[2]int]bool)}
	for i := range rapid.IntRange(3, 5).Draw(t, "replicas") {
		c.nodes = append(c.nodes, &simNode{i: i})
		c.boot(c.nodes[i])
	}
	if rapid.Bool().Draw(t, "acquainted") {
		c.tickAll()
		c.deliverAll()
	}
	return c
}

// boot starts a node with a new version.
func (c *simCluster) boot(n *simNode) {
	c.vsn++
	r := Replica{fmt.Sprint("node", n.i), c.vsn}
	*n = simNode{
		i: n.i, alive: true, state: NewState(r), gens: NewGenerations(2, 6, 20),
		replicas: NewReplicas(simDown, simPermdown), visible: make(map[Tag]*Entry),
	}
}

// draw draws a node that lives: two of them always do.
func (c *simCluster) draw(t *rapid.T) *simNode {
	alive := slices.DeleteFunc(slices.Clone(c.nodes), func(n *simNode) bool { return !n.alive })
	return pick(t, "node", alive)
}

// String names the node and its version.
func (n *simNode) String() string { return n.state.replica.String() }

// change makes some changes to what one node owns.
func (c *simCluster) change(t *rapid.T) {
	n := c.draw(t)
	before := tags(n.state.OnlineList())
	for range rapid.IntRange(1, 4).Draw(t, "changes") {
		drawOp(t, n.state)
	}
	after := tags(n.state.OnlineList())
	maps.Copy(n.visible, after)
	for tag := range before {
		if after[tag] == nil {
			delete(n.visible, tag)
		}
	}
}

func (c *simCluster) send(m simMessage) {
	if !c.apart[[2]int{min(m.from, m.to), max(m.from, m.to)}] {
		c.network = append(c.network, m)
	}
}

// tick is a broadcast period: see who is silent, tell the delta and the clock,
// and ask for what is missing. In this order, since who told a clock and then
// forgets a replica is asked in vain.
func (n *simNode) tick(c *simCluster) {
	n.follow(c, n.replicas.DetectDown(c.now))
	var delta []byte
	if n.state.HasDelta() {
		d := n.state.ResetDelta()
		n.gens.Push(d)
		delta = AppendDelta(nil, d)
	}
	clock := AppendClock(nil, n.state.Clocks())
	for to := range c.nodes {
		if to != n.i {
			c.send(simMessage{n.i, to, n.state.replica, "heartbeat", clock, delta})
		}
	}
	for _, ask := range n.heard.ToSync(n.state.Clocks()) {
		var to int
		if _, err := fmt.Sscanf(ask.Name, "node%d", &to); err != nil {
			c.t.Fatalf("%v: %v", ask, err)
		}
		c.send(simMessage{n.i, to, n.state.replica, "transfer_req", clock, nil})
	}
	n.heard = nil
}

// follow gives changes of replicas to the state.
func (n *simNode) follow(c *simCluster, changes []Change) {
	for _, change := range changes {
		switch r := change.Replica; change.Status {
		case Up:
			apply(c.t, n.visible, n.state.ReplicaUp(r), nil)
		case Down:
			apply(c.t, n.visible, nil, n.state.ReplicaDown(r))
		case Permdown:
			apply(c.t, n.visible, nil, n.state.RemoveDownReplicas(r))
			n.gens.RemoveDownReplicas(r)
		}
	}
}

func (n *simNode) receive(c *simCluster, m simMessage) {
	if m.kind == "leave" {
		n.follow(c, n.replicas.Depart(m.sender, c.now))
		return
	}
	changes, ok := n.replicas.PutHeartbeat(m.sender, c.now)
	if !ok {
		return
	}
	n.follow(c, changes)
	if len(m.clock) > 0 {
		clock, err := DecodeClock(m.clock)
		if err != nil {
			c.t.Fatalf("%s: %v", m.kind, err)
		}
		if m.kind == "transfer_req" {
			d := n.state.Extract(n.gens, m.sender, clock.Context)
			c.send(simMessage{n.i, m.from, n.state.replica, "transfer_ack", nil, AppendDelta(nil, d)})
			return
		}
		n.heard = n.heard.Append(clock)
	}
	if len(m.delta) > 0 {
		d, err := DecodeDelta(m.delta)
		if err != nil {
			c.t.Fatalf("%s: %v", m.kind, err)
		}
		replay(c.t, n.visible, n.state, d)
		n.gens.Push(d)
	}
}

func (c *simCluster) tickAll() {
	c.now = c.now.Add(simPeriod)
	for _, n := range c.nodes {
		if n.alive {
			n.tick(c)
		}
	}
}

func (c *simCluster) drawMessage(t *rapid.T) int {
	return rapid.IntRange(0, len(c.network)-1).Draw(t, "message")
}

func (c *simCluster) pass(i int) {
	m := c.network[i]
	c.network = slices.Delete(c.network, i, i+1)
	if n := c.nodes[m.to]; n.alive {
		n.receive(c, m)
	}
}

// deliver passes on some messages in any order, or all.
func (c *simCluster) deliver(t *rapid.T) {
	n := rapid.IntRange(1, 12).Draw(t, "messages")
	if n == 12 {
		c.deliverAll()
	}
	for range min(n, len(c.network)) {
		c.pass(c.drawMessage(t))
	}
}

func (c *simCluster) deliverAll() {
	for len(c.network) > 0 {
		c.pass(0)
	}
}

// drop loses some messages.
func (c *simCluster) drop(t *rapid.T) {
	for range min(rapid.IntRange(1, 6).Draw(t, "messages"), len(c.network)) {
		i := c.drawMessage(t)
		c.network = slices.Delete(c.network, i, i+1)
	}
}

func (c *simCluster) double(t *rapid.T) {
	if len(c.network) > 0 {
		c.network = append(c.network, c.network[c.drawMessage(t)])
	}
}

func (c *simCluster) drawPair(t *rapid.T) [2]int {
	a := rapid.IntRange(0, len(c.nodes)-2).Draw(t, "one")
	return [2]int{a, rapid.IntRange(a+1, len(c.nodes)-1).Draw(t, "other")}
}

// partition parts two nodes, or one from all; what is under way there is lost.
func (c *simCluster) partition(t *rapid.T) {
	pair := c.drawPair(t)
	alone := rapid.Bool().Draw(t, "one from all")
	for a := range c.nodes {
		for b := a + 1; b < len(c.nodes); b++ {
			if [2]int{a, b} == pair || alone && (a == pair[0] || b == pair[0]) {
				c.apart[[2]int{a, b}] = true
			}
		}
	}
	c.network = slices.DeleteFunc(c.network, func(m simMessage) bool {
		return c.apart[[2]int{min(m.from, m.to), max(m.from, m.to)}]
	})
}

func (c *simCluster) heal(t *rapid.T) { delete(c.apart, c.drawPair(t)) }

func (c *simCluster) kill(t *rapid.T) {
	if c.living() > 2 {
		c.draw(t).alive = false
	}
}

// leave stops a node that tells the others so.
func (c *simCluster) leave(t *rapid.T) {
	if c.living() <= 2 {
		return
	}
	n := c.draw(t)
	n.alive = false
	for to := range c.nodes {
		if to != n.i {
			c.send(simMessage{from: n.i, to: to, sender: n.state.replica, kind: "leave"})
		}
	}
}

// start starts a node anew, whether it was stopped before or not.
func (c *simCluster) start(t *rapid.T) {
	c.boot(pick(t, "node", c.nodes))
}

func (c *simCluster) check(t *rapid.T) {
	for _, n := range c.nodes {
		if n.alive {
			checkInvariants(t, n.state)
			wantReplayed(t, n.visible, n.state)
		}
	}
}

// healAll lets everything through: two periods, in which everybody hears the
// others' clocks and asks for what is missing, bring the living together. The
// dead take until they are down, and then until they are forgotten.
func (c *simCluster) healAll(t *rapid.T) {
	clear(c.apart)
	c.deliverAll()
	c.periods(2)
	c.wantConverged(t, "once healed", false)
	c.periods(int(simDown/simPeriod) + 1)
	c.wantConverged(t, "once the dead are down", true)
	c.periods(int(simPermdown/simPeriod) + 1)
	c.wantConverged(t, "once the dead are forgotten", true)
	c.wantNoTraceOfTheDead(t)
	c.check(t)
}

func (c *simCluster) periods(n int) {
	for range n {
		c.tickAll()
		c.deliverAll()
	}
}

// wantConverged wants that all living replicas list what they all own. Unless
// theDeadToo, entries and clocks of others are not looked at.
func (c *simCluster) wantConverged(t *rapid.T, when string, theDeadToo bool) {
	want := make(map[Tag]string)
	clocks := make(Context)
	for _, n := range c.nodes {
		if n.alive {
			for _, e := range n.state.entriesOf(n.state.replica) {
				want[e.Tag] = e.Topic + e.Key + string(e.Meta)
			}
			clocks[n.state.replica] = n.state.context[n.state.replica]
		}
	}
	for _, n := range c.nodes {
		if !n.alive {
			continue
		}
		got := make(map[Tag]string)
		told := n.state.Clocks().Context
		if !theDeadToo {
			told = told.Filter(clocks)
		}
		for _, e := range n.state.OnlineList() {
			if _, lives := clocks[e.Tag.Replica]; lives || theDeadToo {
				got[e.Tag] = e.Topic + e.Key + string(e.Meta)
			}
		}
		if !maps.Equal(got, want) {
			t.Fatalf("%s, %v lists %v, want %v", when, n, got, want)
		}
		if !maps.Equal(told, clocks) {
			t.Fatalf("%s, %v tells %v, want %v", when, n, told, clocks)
		}
	}
}

// living counts the nodes that live.
func (c *simCluster) living() int {
	living := 0
	for _, n := range c.nodes {
		if n.alive {
			living++
		}
	}
	return living
}

func (c *simCluster) wantNoTraceOfTheDead(t *rapid.T) {
	living := c.living()
	for _, n := range c.nodes {
		if n.alive && (len(n.state.context) != living || len(n.state.clouds)+len(n.state.down) > 0 || len(n.state.values) > living) {
			t.Fatalf("%v keeps %v, clouds %v, down %v", n, n.state.context, n.state.clouds, n.state.down)
		}
	}
}
