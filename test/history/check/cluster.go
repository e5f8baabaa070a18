package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/trunkline/trunkline/test/harness"
)

// A cluster is the Postgres, the servers and the links between them.
type cluster struct {
	database *database
	nodes    []*node
	program  string // the built server
	// application is the link of those who publish by SQL or by command.
	application    *harness.Link
	applicationURL string
	token          string // of the user that all clients are
	// anyAddress is what a load balancer chooses that knows nothing of the
	// nodes' health.
	anyAddress func() string
}

// startCluster returns when all nodes are ready. What it has started by an
// error's time, stop ends.
func startCluster(ctx context.Context, s settings, out io.Writer) (*cluster, error) {
	c := &cluster{program: filepath.Join(s.logs, "server")}
	c.anyAddress = func() string { return c.anyNode().Address() }
	if err := harness.Build(ctx, c.program, "cmd/server", s.race); err != nil {
		return c, err
	}
	var err error
	if c.token, err = signToken(ctx, c.program, "checker"); err != nil {
		return c, err
	}
	postgres, err := harness.StartPostgres(ctx, "history-check", out)
	if err != nil {
		return c, err
	}
	c.database = &database{postgres}
	if c.application, c.applicationURL, err = postgres.Link(); err != nil {
		return c, err
	}
	var starting errgroup.Group
	for number := range s.nodes {
		link, url, err := postgres.Link()
		if err != nil {
			return c, errors.Join(err, starting.Wait())
		}
		n := newNode(fmt.Sprintf("node-%d", number+1), c.program, s.logs, link, url)
		c.nodes = append(c.nodes, n)
		starting.Go(func() error { return n.Start(ctx) })
	}
	return c, starting.Wait()
}

// signToken has the command line sign a token for the user.
func signToken(ctx context.Context, program, user string) (string, error) {
	cmd := exec.CommandContext(ctx, program, "token", "sign", user)
	cmd.Env = []string{"SECRET_KEY_BASE=" + secret}
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("token sign: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

func (c *cluster) anyNode() *node { return c.nodes[rand.IntN(len(c.nodes))] }

// stopNodes ends the nodes in order, and returns what is wrong with them.
func (c *cluster) stopNodes() (defects []string, err error) {
	for _, n := range c.nodes {
		if err := n.Stop(); err != nil {
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
		n.Kill()
		n.link.Close()
	}
	if c.application != nil {
		c.application.Close()
	}
	if c.database != nil {
		errs = append(errs, c.database.Remove())
	}
	if err := os.Remove(c.program); !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
