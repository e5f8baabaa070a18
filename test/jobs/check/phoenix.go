package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/trunkline/trunkline/test/harness"
)

const (
	phoenixScript  = "harness/jobs_client.mjs"
	phoenixTimeout = 20 * time.Second
)

// A phoenix is a Node process with one client, which uses phoenix.js.
type phoenix struct {
	process  *harness.Process
	balancer *harness.Link
	node     atomic.Pointer[harness.Node] // where the balancer leads
	input    io.WriteCloser
	answers  chan []byte // closed when the process ends
}

// startPhoenix connects the client by way of a balancer that leads to the node.
// Stop it at the end.
func startPhoenix(s settings, n *harness.Node, name, topic string) (p *phoenix, err error) {
	if _, err := os.Stat(filepath.Join(s.js, "node_modules", "phoenix")); err != nil {
		return nil, fmt.Errorf("phoenix.js is not installed, `npm ci` in %s does it: %w", s.js, err)
	}
	p = &phoenix{answers: make(chan []byte, 1)}
	p.node.Store(n)
	p.balancer, err = harness.NewLink(func() (net.Conn, error) {
		return net.DialTimeout("tcp", p.node.Load().Address(), dialTimeout)
	})
	if err != nil {
		return nil, err
	}
	if err = p.launch(s); err == nil {
		err = p.command(object{"op": "start", "url": "ws://" + p.balancer.Address() + "/socket", "user": name, "topic": topic}, nil)
	}
	if err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func (p *phoenix) launch(s settings) error {
	log, err := os.Create(filepath.Join(s.logs, "phoenix.log"))
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own
	cmd := exec.Command("node", phoenixScript)
	cmd.Dir, cmd.Stderr = s.js, log
	cmd.WaitDelay = time.Second
	input, writer := io.Pipe()
	reader, output := io.Pipe()
	cmd.Stdin, cmd.Stdout = input, output
	if p.process, err = harness.Start(cmd); err != nil {
		return err
	}
	p.input = writer
	go func() { // ends with the process
		<-p.process.Exited()
		_ = output.Close()
		_ = input.Close()
	}()
	go func() { // ends with the output
		defer close(p.answers)
		lines := bufio.NewReader(reader)
		for {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				return
			}
			p.answers <- line
		}
	}()
	return nil
}

// command has the process do something, and takes its answer.
func (p *phoenix) command(command object, answer any) error {
	line, err := json.Marshal(command)
	if err != nil {
		return err
	}
	if _, err := p.input.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("phoenix.js: %w", err)
	}
	timeout := time.NewTimer(phoenixTimeout)
	defer timeout.Stop()
	select {
	case line, ok := <-p.answers:
		if !ok {
			return errors.New("the Node process has ended: see phoenix.log")
		}
		if answer == nil {
			return nil
		}
		return json.Unmarshal(line, answer)
	case <-timeout.C:
		return fmt.Errorf("phoenix.js: no answer within %v", phoenixTimeout)
	}
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
	err = p.command(object{"op": "report"}, &r)
	return r, err
}

func (p *phoenix) stop() {
	if p.process != nil {
		_ = p.input.Close()
		for range p.answers { // one may be under way
		}
		p.process.Kill()
	}
	p.balancer.Close()
}
