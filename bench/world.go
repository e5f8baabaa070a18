//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trunkline/trunkline/bench/load"
	"github.com/trunkline/trunkline/test/harness"
)

// secret is what tokens are signed with.
var secret = strings.Repeat("0123456789abcdef", 4)

// A world is what scenarios run in.
type world struct {
	postgres  *harness.Postgres
	program   string // the built server
	directory string // of logs
	smoke     bool   // tiny sizes
	profiles  string // directory for profiles of the servers; "" makes none
	out       io.Writer

	scenario string // the one that runs
	starts   int    // databases made so far
	database string // the newest one
}

// scale is a size: one for a real run, one for the smoke test.
func (w *world) scale(full, smoke int) int {
	if w.smoke {
		return smoke
	}
	return full
}

// span is scale for durations.
func (w *world) span(full time.Duration) time.Duration {
	if w.smoke {
		return min(full, 200*time.Millisecond)
	}
	return full
}

// A node is a server with what the tool knows of it.
type node struct {
	*harness.Node
	private string
	token   string
	pid     int
}

// cluster starts servers with these arguments on a database of their own. stop
// ends them.
func (w *world) cluster(ctx context.Context, arguments [][]string) (nodes []*node, stop func() error, err error) {
	w.starts++
	name := fmt.Sprint("bench_", w.starts)
	conn, err := pgx.Connect(ctx, w.postgres.URL())
	if err != nil {
		return nil, nil, err
	}
	_, err = conn.Exec(ctx, "create database "+name)
	if err = errors.Join(err, conn.Close(ctx)); err != nil {
		return nil, nil, err
	}
	w.database = w.postgres.URLFor(name)
	stop = func() error {
		var errs []error
		for _, n := range nodes {
			errs = append(errs, n.Stop())
			defects, err := n.Defects()
			for _, d := range defects {
				errs = append(errs, errors.New(d))
			}
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}
	for i, own := range arguments {
		n := &node{Node: &harness.Node{Name: fmt.Sprintf("node-%d", i+1)}}
		n.Log = filepath.Join(w.directory, fmt.Sprintf("%s-%s.log", name, n.Name))
		if n.private, err = harness.FreeAddress(); err != nil {
			return nil, nil, errors.Join(err, stop())
		}
		n.Command = func(address string) *exec.Cmd {
			cmd := exec.Command(w.program, append([]string{"--listen", address, "--private", n.private, "--node", n.Name}, own...)...)
			cmd.Env = append(os.Environ(), "DATABASE_URL="+w.database, "SECRET_KEY_BASE="+secret)
			return cmd
		}
		nodes = append(nodes, n)
		if err := n.begin(ctx); err != nil {
			return nil, nil, errors.Join(err, stop())
		}
	}
	return nodes, stop, nil
}

// begin starts the node and asks for what the tool needs.
func (n *node) begin(ctx context.Context) error {
	if err := n.Start(ctx); err != nil {
		return err
	}
	r, err := n.runtime(ctx)
	if err != nil {
		return err
	}
	n.pid = r.PID
	return n.ask(ctx, http.MethodGet, "/token", nil, &n.token)
}

// at is where clients connect.
func (n *node) at() netip.AddrPort { return netip.MustParseAddrPort(n.Address()) }

// path is the WebSocket's, with a token.
func (n *node) path() string {
	return "/socket/websocket?vsn=2.0.0&token=" + url.QueryEscape(n.token)
}

// runtimeFigures are what the server's runtime tells of itself.
type runtimeFigures struct {
	PID        int    `json:"pid"`
	Goroutines int    `json:"goroutines"`
	Mallocs    uint64 `json:"mallocs"`
	Heap       uint64 `json:"heap"`
	Spans      uint64 `json:"spans"` // what the heap's objects are in
	Idle       uint64 `json:"idle"`  // of the heap, and not given back
	Stacks     uint64 `json:"stacks"`
}

func (n *node) runtime(ctx context.Context) (r runtimeFigures, err error) {
	err = n.ask(ctx, http.MethodGet, "/runtime", nil, &r)
	return r, err
}

// collect makes the server collect its garbage and give memory back.
func (n *node) collect(ctx context.Context) error {
	return n.ask(ctx, http.MethodPost, "/collect", nil, nil)
}

// ask sends a request to the private port.
func (n *node) ask(ctx context.Context, method, path string, query url.Values, to any) error {
	body, err := n.fetch(ctx, method, path, query)
	if err != nil || to == nil {
		return err
	}
	return json.Unmarshal(body, to)
}

func (n *node) fetch(ctx context.Context, method, path string, query url.Values) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, "http://"+n.private+path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, response.Status, body)
	}
	return body, err
}

// metric is a series of the node, 0 when there is none.
func (n *node) metric(ctx context.Context, name string) (float64, error) {
	series, err := harness.Metrics(ctx, n.Address())
	return series[name], err
}

// open connects clients of one node, each to the topic of its number.
func (n *node) open(l *load.Load, count int, topic func(i int) string) ([]*load.Conn, error) {
	conns, _, err := l.Open(load.OpenOptions{
		Count: count, Path: n.path(),
		Client: func(i int) load.Client { return load.Client{Address: n.at(), Topic: topic(i)} },
	})
	return conns, err
}

// theTopic is one for all.
func theTopic(name string) func(int) string { return func(int) string { return name } }

// A floorProcess is a running floor.
type floorProcess struct {
	pid             int
	broadcast, echo netip.AddrPort
	end             func() error
}

func startFloor(ctx context.Context) (*floorProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "floor")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	f := &floorProcess{pid: cmd.Process.Pid, end: func() error { return errors.Join(stdin.Close(), cmd.Wait()) }}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return nil, errors.Join(err, f.end())
	}
	var addresses [2]netip.AddrPort
	for i, text := range strings.Fields(line) {
		if addresses[i], err = netip.ParseAddrPort(text); err != nil {
			return nil, errors.Join(err, f.end())
		}
	}
	f.broadcast, f.echo = addresses[0], addresses[1]
	return f, nil
}

// open makes raw connections to one of the floor's addresses.
func (f *floorProcess) open(l *load.Load, at netip.AddrPort, count int, topic string) ([]*load.Conn, error) {
	conns, _, err := l.Open(load.OpenOptions{
		Count:  count,
		Client: func(int) load.Client { return load.Client{Address: at, Topic: topic} },
	})
	return conns, err
}
