package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/trunkline/trunkline/test/harness"
)

// A lab is the Postgres and the built server of all phases.
type lab struct {
	postgres *harness.Postgres
	program  string
	logs     string
}

// newLab starts both. What it has started by an error's time, remove ends.
func newLab(ctx context.Context, s settings, out io.Writer) (*lab, error) {
	l := &lab{program: filepath.Join(s.logs, "server"), logs: s.logs}
	if err := harness.Build(ctx, l.program, "examples/jobs", s.race); err != nil {
		return l, err
	}
	var err error
	l.postgres, err = harness.StartPostgres(ctx, "jobs-check", out)
	return l, err
}

func (l *lab) remove() error {
	var errs []error
	if l.postgres != nil {
		errs = append(errs, l.postgres.Remove())
	}
	if err := os.Remove(l.program); !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// A cluster is one phase's database and servers.
type cluster struct {
	lab   *lab
	name  string
	url   string
	db    *pgxpool.Pool
	nodes []*harness.Node
}

// cluster makes an empty database and no node. Close it at the end.
func (l *lab) cluster(ctx context.Context, name string) (*cluster, error) {
	conn, err := pgx.Connect(ctx, l.postgres.URL())
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing depends on it
	if _, err := conn.Exec(ctx, "create database "+pgx.Identifier{name}.Sanitize()); err != nil {
		return nil, err
	}
	u, err := url.Parse(l.postgres.URL())
	if err != nil {
		return nil, err
	}
	u.Path = "/" + name
	c := &cluster{lab: l, name: name, url: u.String()}
	c.db, err = pgxpool.New(ctx, c.url)
	return c, err
}

// smallPool keeps the nodes of all phases at once within Postgres's connections.
// Those that measure have the default.
const (
	smallPool   = "DATABASE_POOL_SIZE=5"
	defaultPool = "DATABASE_POOL_SIZE=8"
)

// start starts one more node, with settings NAME=value beside those of all.
func (c *cluster) start(ctx context.Context, name string, settings ...string) (*harness.Node, error) {
	n := &harness.Node{
		Name: c.name + " " + name,
		Log:  filepath.Join(c.lab.logs, c.name+"-"+name+".log"),
		Command: func(address string) *exec.Cmd {
			cmd := exec.Command(c.lab.program)
			cmd.Env = append([]string{
				"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "NODE_NAME=" + name,
				"DATABASE_URL=" + c.url, "LISTEN=" + address, smallPool,
			}, settings...)
			return cmd
		},
	}
	c.nodes = append(c.nodes, n)
	return n, n.Start(ctx)
}

// noJobs is the setting of a node that leaves the application's jobs to others.
const noJobs = "QUEUE_DEFAULT=0"

// count runs a statement that counts something.
func (c *cluster) count(ctx context.Context, sql string, arguments ...any) (n int, err error) {
	err = c.db.QueryRow(ctx, sql, arguments...).Scan(&n)
	if err != nil {
		err = fmt.Errorf("%s: %w", sql, err)
	}
	return n, err
}

// stop ends the nodes in order, and returns what is wrong with them.
func (c *cluster) stop() (defects []string, err error) {
	for _, n := range c.nodes {
		if err := n.Stop(); err != nil {
			defects = append(defects, err.Error())
		}
		found, readErr := n.Defects()
		defects, err = append(defects, found...), errors.Join(err, readErr)
	}
	return defects, err
}

// close ends what still runs.
func (c *cluster) close() {
	for _, n := range c.nodes {
		n.Kill()
	}
	c.db.Close()
}
