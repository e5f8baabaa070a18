package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/trunkline/trunkline/test/harness"
)

const (
	phoenixScript  = "harness/presence_observers.mjs"
	phoenixTimeout = 20 * time.Second
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
	process   *harness.Process
	balancers []*harness.Link // by node: phoenix.js goes to one address only

	mu      sync.Mutex // one command at a time
	input   io.WriteCloser
	answers chan []byte // closed when the process ends
}

func startPhoenix(s settings, w watch, c *cluster) (*phoenix, error) {
	if _, err := os.Stat(filepath.Join(s.js, "node_modules", "phoenix")); err != nil {
		return nil, fmt.Errorf("phoenix.js is not installed, `npm ci` in %s does it: %w", s.js, err)
	}
	var observers []phoenixObserver
	p := &phoenix{answers: make(chan []byte)}
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
	if err := p.launch(s, w.name+".log"); err != nil {
		p.stop()
		return nil, err
	}
	return p, p.command(object{"op": "start", "observers": observers}, nil)
}

func (p *phoenix) launch(s settings, logName string) error {
	log, err := os.Create(filepath.Join(s.logs, logName))
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own
	cmd := exec.Command("node", phoenixScript)
	cmd.Dir, cmd.Stderr = s.js, log
	cmd.WaitDelay = time.Second
	input, writer := io.Pipe()
	reader, answers := io.Pipe()
	cmd.Stdin, cmd.Stdout = input, answers
	if p.process, err = harness.Start(cmd); err != nil {
		return err
	}
	p.input = writer
	go func() { // ends with the process
		<-p.process.Exited()
		_ = answers.Close()
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
	p.mu.Lock()
	defer p.mu.Unlock()
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
			return errors.New("the Node process has ended: see its log")
		}
		if answer == nil {
			return nil
		}
		return json.Unmarshal(line, answer)
	case <-timeout.C:
		return fmt.Errorf("phoenix.js: no answer within %v", phoenixTimeout)
	}
}

func (p *phoenix) begin() error { return p.command(object{"op": "begin"}, nil) }

func (p *phoenix) reports(context.Context) (reports []report, err error) {
	err = p.command(object{"op": "report"}, &reports)
	return reports, err
}

func (p *phoenix) cut(home int) { p.balancers[home].Cut() }

func (p *phoenix) stop() {
	if p.process != nil {
		_ = p.input.Close()
		for ended := false; !ended; { // an answer may be under way
			_, ok := <-p.answers
			ended = !ok
		}
		p.process.Kill()
	}
	for _, b := range p.balancers {
		b.Close()
	}
}
