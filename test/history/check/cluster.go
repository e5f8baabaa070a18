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
)

// A cluster is the Postgres, the servers and the links between them.
type cluster struct {
	database *database
	nodes    []*node
	program  string // the built server
	// application is the link of those who publish by SQL or by command.
	application    *link
	applicationURL string
	token          string // of the user that all clients are
}

// startCluster returns when all nodes are ready. What it has started by an
// error's time, stop ends.
func startCluster(ctx context.Context, s settings, out io.Writer) (*cluster, error) {
	c := &cluster{program: filepath.Join(s.logs, "server")}
	if err := build(ctx, c.program, s.race); err != nil {
		return c, err
	}
	var err error
	if c.token, err = signToken(ctx, c.program, "checker"); err != nil {
		return c, err
	}
	if c.database, err = startDatabase(ctx, out); err != nil {
		return c, err
	}
	if c.application, err = c.newLink(); err != nil {
		return c, err
	}
	name, err := c.database.name()
	if err != nil {
		return c, err
	}
	c.applicationURL = c.application.url(name)
	var starting errgroup.Group
	for number := range s.nodes {
		link, err := c.newLink()
		if err != nil {
			return c, errors.Join(err, starting.Wait())
		}
		n := &node{name: fmt.Sprintf("node-%d", number+1), program: c.program, database: link.url(name), link: link}
		n.log = filepath.Join(s.logs, n.name+".log")
		c.nodes = append(c.nodes, n)
		starting.Go(func() error { return n.start(ctx) })
	}
	return c, starting.Wait()
}

func (c *cluster) newLink() (*link, error) {
	socket, err := c.database.socket()
	if err != nil {
		return nil, err
	}
	return newLink(socket)
}

// build builds the server.
func build(ctx context.Context, program string, race bool) error {
	arguments := []string{"build", "-o", program}
	if race {
		arguments = append(arguments, "-race")
	}
	out, err := exec.CommandContext(ctx, "go", append(arguments, "github.com/trunkline/trunkline/cmd/server")...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("build the server: %w\n%s", err, out)
	}
	return nil
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

// anyAddress is what a load balancer does that knows nothing of the nodes'
// health.
func (c *cluster) anyAddress() string { return c.nodes[rand.IntN(len(c.nodes))].where() }

func (c *cluster) anyNode() *node { return c.nodes[rand.IntN(len(c.nodes))] }

// stopNodes ends the nodes in order, and returns what is wrong with them.
func (c *cluster) stopNodes() (defects []string, err error) {
	for _, n := range c.nodes {
		if err := n.stop(); err != nil {
			defects = append(defects, err.Error())
		}
		found, readErr := n.defects()
		defects, err = append(defects, found...), errors.Join(err, readErr)
	}
	return defects, err
}

// remove ends what still runs and deletes the database and the program.
func (c *cluster) remove() error {
	var errs []error
	for _, n := range c.nodes {
		n.kill()
		n.link.close()
	}
	if c.application != nil {
		c.application.close()
	}
	if c.database != nil {
		errs = append(errs, c.database.remove())
	}
	if err := os.Remove(c.program); !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
