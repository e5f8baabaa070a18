//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/trunkline/trunkline/bench/load"
	"github.com/trunkline/trunkline/bench/stats"
)

// presenceTopic is the one that all join.
const presenceTopic = "p:all"

// runPresence measures members that join one topic on three nodes: how long it
// takes from the last join until every client knows all of them.
func runPresence(ctx context.Context, w *world) (r result, err error) {
	count := w.scale(5000, 60)
	err = w.withCluster(ctx, nodesOfCluster, func(nodes []*node) error {
		one, lists, converged, err := joinPresence(ctx, w, nodes, count)
		if err != nil {
			return err
		}
		one.note = fmt.Sprintf("%d presence_state, %d presence_diff, %d MB in all", lists.states, lists.diffs, lists.bytes>>20)
		r.rows = []row{one}
		r.verdicts = []verdict{{
			what: fmt.Sprintf("presence: %d joins in one topic on %d nodes, all clients converged after the last join", count, nodesOfCluster), value: converged.Seconds(), limit: 3, unit: "s",
			measured: fmt.Sprintf("joins and convergence together %s s", short(one.seconds)),
		}}
		return nil
	})
	return r, err
}

// joinPresence has so many join on all nodes and waits until all know all.
// converged is how long that takes from the last join on.
func joinPresence(ctx context.Context, w *world, nodes []*node, count int) (one row, lists *memberLists, converged time.Duration, err error) {
	l, err := load.New()
	if err != nil {
		return one, nil, 0, err
	}
	defer l.Shut()
	lists = newMemberLists(l, count)
	l.Handle = lists.handle
	var joined time.Time
	one, err = w.measure(ctx, fmt.Sprintf("%d joins", count), nodes, func() error {
		_, times, err := l.Open(load.OpenOptions{
			Count: count, Path: nodes[0].path(), // one secret: all nodes take the token
			Limit: 3 * time.Minute,
			Client: func(i int) load.Client {
				return load.Client{Address: nodes[i%len(nodes)].at(), Topic: presenceTopic, Params: fmt.Appendf(nil, `{"key":"%0*d"}`, keyDigits, i)}
			},
		})
		if err != nil {
			return err
		}
		joined = time.Now()
		lists.joins = times
		err = l.Until(time.Minute, "clients that know everybody", func() (int, int) { return lists.complete, count })
		converged = time.Since(joined)
		return err
	})
	if err != nil {
		return one, nil, 0, err
	}
	for _, n := range nodes {
		var members int
		if err := n.ask(ctx, http.MethodGet, "/presences", url.Values{"topic": {presenceTopic}}, &members); err != nil {
			return one, nil, 0, err
		}
		if members != count {
			return one, nil, 0, fmt.Errorf("%s lists %d members, expected %d", n.Name, members, count)
		}
	}
	one.unit, one.count, one.expected = "clients that know all", uint64(lists.complete), uint64(count)
	one.times(lists.joins)
	return one, lists, converged, one.complete()
}

// keyDigits is the length of members' keys.
const keyDigits = 6

// memberMark follows each key of a list.
const memberMark = `":{"metas":[`

// memberLists are what clients know, a bit for each member.
type memberLists struct {
	load          *load.Load
	count         int
	known         [][]uint64
	missing       []int
	complete      int
	states, diffs int
	bytes         int
	joins         *stats.Histogram
}

func newMemberLists(l *load.Load, count int) *memberLists {
	m := &memberLists{load: l, count: count, known: make([][]uint64, count), missing: make([]int, count)}
	for i := range m.known {
		m.known[i], m.missing[i] = make([]uint64, (count+63)/64), count
	}
	return m
}

func (m *memberLists) handle(c *load.Conn, e load.Envelope) {
	list := e.Payload
	m.bytes += len(list)
	switch string(e.Event) {
	case "phx_reply":
		return
	case "presence_state":
		m.states++
	case "presence_diff":
		m.diffs++
		if !bytes.Contains(list[max(len(list)-20, 0):], []byte(`"leaves":{}`)) {
			m.load.Fail(fmt.Errorf("connection %d: somebody left though nobody has: %.300q", c.ID, list))
			return
		}
	default:
		m.load.Fail(fmt.Errorf("connection %d: event %q", c.ID, e.Event))
		return
	}
	known := m.known[c.ID]
	for {
		at := bytes.Index(list, []byte(memberMark))
		if at < 0 {
			return
		}
		key, err := strconv.Atoi(string(list[max(at-keyDigits, 0):at]))
		if err != nil || key >= m.count {
			m.load.Fail(fmt.Errorf("connection %d: a key in %.300q", c.ID, list))
			return
		}
		if bit := uint64(1) << (key % 64); known[key/64]&bit == 0 {
			known[key/64] |= bit
			if m.missing[c.ID]--; m.missing[c.ID] == 0 {
				m.complete++
			}
		}
		list = list[at+len(memberMark):]
	}
}
