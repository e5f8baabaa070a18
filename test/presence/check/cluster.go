package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/trunkline/trunkline/test/harness"
)

// A cluster is the Postgres, the servers and the links between them.
type cluster struct {
	postgres *harness.Postgres
	nodes    []*node
	program  string // the built server
}

// A node is a server with its own link to Postgres.
type node struct {
	*harness.Node
	link *harness.Link
	open atomic.Bool // clients may come
}

// startCluster returns when all nodes are ready. What it has started by an
// error's time, remove ends.
func startCluster(ctx context.Context, s settings, out io.Writer) (*cluster, error) {
	c := &cluster{program: filepath.Join(s.logs, "server")}
	if err := harness.Build(ctx, c.program, "examples/conformance", false); err != nil {
		return c, err
	}
	var err error
	if c.postgres, err = harness.StartPostgres(ctx, "presence-check", out); err != nil {
		return c, err
	}
	var starting errgroup.Group
	for number := range s.nodes {
		link, url, err := c.postgres.Link()
		if err != nil {
			return c, errors.Join(err, starting.Wait())
		}
		n := newNode(fmt.Sprintf("node-%d", number+1), c.program, s.logs, url)
		n.link = link
		c.nodes = append(c.nodes, n)
		starting.Go(func() error { return n.start(ctx) })
	}
	return c, starting.Wait()
}

func newNode(name, program, logs, database string) *node {
	return &node{Node: &harness.Node{
		Name: name,
		Log:  filepath.Join(logs, name+".log"),
		Command: func(address string) *exec.Cmd {
			// The interval is the default of the library.
			cmd := exec.Command(program, "-listen", address, "-presence-diff-interval", "50ms", "-presence-grace", gracePeriod.String())
			cmd.Env = []string{
				"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"),
				"NODE_NAME=" + name, "DATABASE_URL=" + database,
			}
			return cmd
		},
	}}
}

// start lets clients come once the node is ready.
func (n *node) start(ctx context.Context) error {
	if err := n.Start(ctx); err != nil {
		return err
	}
	n.open.Store(true)
	return nil
}

func (n *node) kill() {
	n.open.Store(false)
	n.Kill()
}

func (n *node) stop() error {
	n.open.Store(false)
	return n.Stop()
}

// choose is the node that a load balancer gives to a client that would like to
// go to home: another one while that is closed.
func (c *cluster) choose(home int) int {
	if c.nodes[home].open.Load() {
		return home
	}
	for _, i := range rand.Perm(len(c.nodes)) {
		if c.nodes[i].open.Load() {
			return i
		}
	}
	return home
}

// balancer is a way to a node, or to another while that is closed.
func (c *cluster) balancer(home int) (*harness.Link, error) {
	return harness.NewLink(func() (net.Conn, error) {
		return net.DialTimeout("tcp", c.nodes[c.choose(home)].Address(), dialTimeout)
	})
}

// stopNodes ends the nodes in order, and returns what is wrong with them.
func (c *cluster) stopNodes() (defects []string, err error) {
	for _, n := range c.nodes {
		if err := n.stop(); err != nil {
			defects = append(defects, err.Error())
		}
		found, readErr := n.Defects()
		defects, err = append(defects, found...), errors.Join(err, readErr)
	}
	return defects, err
}

// remove ends what still runs and deletes the database and the program.
func (c *cluster) remove() error {
	var errs []error
	for _, n := range c.nodes {
		n.kill()
		n.link.Close()
	}
	if c.postgres != nil {
		errs = append(errs, c.postgres.Remove())
	}
	if err := os.Remove(c.program); !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// counters adds up the servers' metrics since their last starts.
func (c *cluster) counters(ctx context.Context) map[string]float64 {
	sums := map[string]float64{}
	for _, n := range c.nodes {
		sums[cpuSeconds] += n.CPU().Seconds()
		series, err := harness.Metrics(ctx, n.Address())
		if err != nil {
			continue // it is for information, and the node may be away
		}
		for name, value := range series {
			sums[name] += value
		}
	}
	return sums
}
