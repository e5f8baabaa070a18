package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/trunkline/trunkline/test/harness"
)

const (
	phoenixScript = "harness/presence_observers.mjs"
	// phoenixTopics is how many small topics each of its observers watches.
	phoenixTopics = 20
)

// A phoenixObserver is what the Node process is told of one.
type phoenixObserver struct {
	Name   string   `json:"name"`
	Node   int      `json:"node"`
	URL    string   `json:"url"`
	Topics []string `json:"topics"`
	Keys   bool     `json:"keys"`
}

// A phoenix is the Node process, whose observers use phoenix.js.
type phoenix struct {
	*harness.Phoenix
	balancers []*harness.Link // by node: phoenix.js goes to one address only
}

func startPhoenix(s settings, w watch, c *cluster) (*phoenix, error) {
	var observers []phoenixObserver
	p := &phoenix{}
	for home := range c.nodes {
		balancer, err := c.balancer(home)
		if err != nil {
			p.stop()
			return nil, err
		}
		p.balancers = append(p.balancers, balancer)
		for i := range w.phoenix {
			observers = append(observers, phoenixObserver{
				Name: fmt.Sprintf("phoenix.js %d of %s", i+1, c.nodes[home].Name), Node: home,
				URL: "ws://" + balancer.Address() + "/crowd", Topics: w.watched(i, w.phoenix, phoenixTopics), Keys: w.keys,
			})
		}
	}
	var err error
	if p.Phoenix, err = harness.StartPhoenix(s.js, phoenixScript, filepath.Join(s.logs, w.name+".log")); err != nil {
		p.stop()
		return nil, err
	}
	return p, p.Command(object{"op": "start", "observers": observers}, nil)
}

func (p *phoenix) begin() error { return p.Command(object{"op": "begin"}, nil) }

func (p *phoenix) reports(context.Context) (reports []report, err error) {
	err = p.Command(object{"op": "report"}, &reports)
	return reports, err
}

func (p *phoenix) cut(home int) { p.balancers[home].Cut() }

func (p *phoenix) stop() {
	if p.Phoenix != nil {
		p.Stop()
	}
	for _, b := range p.balancers {
		b.Close()
	}
}
