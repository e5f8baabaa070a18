package harness

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// PhoenixTimeout bounds the wait for an answer of a [Phoenix].
const PhoenixTimeout = 20 * time.Second

// A Phoenix is a Node process whose clients use phoenix.js. It takes commands
// and gives answers, a line of JSON each, one at a time.
type Phoenix struct {
	process *Process

	mu      sync.Mutex
	input   io.WriteCloser
	answers chan []byte // closed when the process ends
}

// StartPhoenix starts a script of js, the directory where phoenix.js is
// installed. What it prints beside its answers goes to the log file.
func StartPhoenix(js, script, logFile string) (*Phoenix, error) {
	if _, err := os.Stat(filepath.Join(js, "node_modules", "phoenix")); err != nil {
		return nil, fmt.Errorf("phoenix.js is not installed, `npm ci` in %s does it: %w", js, err)
	}
	log, err := os.Create(logFile)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own
	cmd := exec.Command("node", script)
	cmd.Dir, cmd.Stderr = js, log
	cmd.WaitDelay = time.Second
	input, writer := io.Pipe()
	reader, output := io.Pipe()
	cmd.Stdin, cmd.Stdout = input, output
	p := &Phoenix{input: writer, answers: make(chan []byte)}
	if p.process, err = Start(cmd); err != nil {
		return nil, err
	}
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
	return p, nil
}

// Command has the process do something, and takes its answer, unless it is nil.
func (p *Phoenix) Command(command, answer any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	line, err := json.Marshal(command)
	if err != nil {
		return err
	}
	if _, err := p.input.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("phoenix.js: %w", err)
	}
	timeout := time.NewTimer(PhoenixTimeout)
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
		return fmt.Errorf("phoenix.js: no answer within %v", PhoenixTimeout)
	}
}

// Stop ends the process.
func (p *Phoenix) Stop() {
	_ = p.input.Close()
	for ended := false; !ended; { // an answer may be under way
		_, ok := <-p.answers
		ended = !ok
	}
	p.process.Kill()
}
