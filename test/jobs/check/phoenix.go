package main

import (
	"encoding/json"
	"net"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/trunkline/trunkline/test/harness"
)

const phoenixScript = "harness/jobs_client.mjs"

// A phoenix is a Node process with one client, which uses phoenix.js.
type phoenix struct {
	*harness.Phoenix
	balancer *harness.Link
	node     atomic.Pointer[harness.Node] // where the balancer leads
}

// startPhoenix connects the client by way of a balancer that leads to the node.
// Stop it at the end.
func startPhoenix(s settings, n *harness.Node, name, topic string) (p *phoenix, err error) {
	p = &phoenix{}
	p.node.Store(n)
	p.balancer, err = harness.NewLink(func() (net.Conn, error) {
		return net.DialTimeout("tcp", p.node.Load().Address(), dialTimeout)
	})
	if err != nil {
		return nil, err
	}
	if p.Phoenix, err = harness.StartPhoenix(s.js, phoenixScript, filepath.Join(s.logs, "phoenix.log")); err == nil {
		err = p.Command(object{"op": "start", "url": "ws://" + p.balancer.Address() + "/socket", "user": name, "topic": topic}, nil)
	}
	if err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// A phoenixReport is what the client was told. Times are in milliseconds.
type phoenixReport struct {
	Joins   []int64
	Answers []struct {
		Event, Key, Status string
		Response           json.RawMessage
		At                 int64
	}
}

// record brings the answers into the user's pushes. Call it once.
func (r phoenixReport) record(u *user) {
	for _, a := range r.Answers {
		u.mu.Lock()
		pushes := u.byKey[a.Key]
		u.mu.Unlock()
		if len(pushes) == 0 {
			u.stray("an answer for the key " + a.Key)
		}
		for _, p := range pushes {
			p.take(answer{time.UnixMilli(a.At), a.Event, a.Status, a.Response})
		}
	}
}

func (p *phoenix) report() (r phoenixReport, err error) {
	err = p.Command(object{"op": "report"}, &r)
	return r, err
}

func (p *phoenix) stop() {
	if p.Phoenix != nil {
		p.Stop()
	}
	p.balancer.Close()
}
