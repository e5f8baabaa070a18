// Command replay replays the recorded transcripts against a running server and
// prints a line per case. It exits with 1 if a case failed and with 2 if it
// could not start.
//
//	go run ./test/golden/replay -base http://127.0.0.1:4400 [flags] [case...]
//
// A case may be a pattern, such as 'broadcast.*'. Without any, all cases run;
// the one that shuts the server down runs last, and only with -pid.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path"
	"syscall"
	"time"

	"github.com/trunkline/trunkline/test/golden"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	failed, err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "replay:", err)
		os.Exit(2)
	case failed > 0:
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) (failed int, err error) {
	var target golden.Target
	var pid int
	flags := flag.NewFlagSet("replay", flag.ContinueOnError)
	flags.StringVar(&target.BaseURL, "base", "", "server that clients connect to, as http://127.0.0.1:4400 (check_origin.conn needs 127.0.0.1)")
	flags.StringVar(&target.PeerURL, "peer", "", "server of the same cluster that takes all WebSocket connections of a case but the first")
	flags.StringVar(&target.PublishURL, "publish", "", "server whose hook POST /__server is called (default: -base)")
	flags.StringVar(&target.Secret, "secret", golden.FixtureSecret, "secret_key_base of the server")
	flags.DurationVar(&target.RecvTimeout, "timeout", 6*time.Second, "how long to wait for a frame")
	flags.IntVar(&pid, "pid", 0, "process of the server, for the case that shuts it down")
	if err := flags.Parse(args); err != nil {
		return 0, err
	}
	if target.BaseURL == "" {
		return 0, errors.New("-base is missing: the URL of the server")
	}
	if pid > 0 {
		target.Shutdown = func() error { return syscall.Kill(pid, syscall.SIGTERM) }
	}
	cases, err := selectCases(flags.Args(), pid > 0)
	if err != nil {
		return 0, err
	}

	var replayer golden.Replayer
	for _, c := range cases {
		started := time.Now()
		err := replayer.Replay(ctx, c, target)
		took := time.Since(started).Round(10 * time.Millisecond)
		if err != nil {
			failed++
			fmt.Fprintf(out, "FAIL %-36s %6s  %v\n", c.Name, took, err)
		} else {
			fmt.Fprintf(out, "ok   %-36s %6s\n", c.Name, took)
		}
		if ctx.Err() != nil {
			return failed, fmt.Errorf("interrupted: %w", ctx.Err())
		}
	}
	fmt.Fprintf(out, "%d of %d cases passed\n", len(cases)-failed, len(cases))
	return failed, nil
}

// selectCases returns the cases that match a pattern, those that end the
// server last. Unnamed ones of that kind need canShut.
func selectCases(patterns []string, canShut bool) ([]golden.Case, error) {
	all, err := golden.Cases()
	if err != nil {
		return nil, err
	}
	var selected, last []golden.Case
	matched := make([]bool, len(patterns))
	for _, c := range all {
		wanted := len(patterns) == 0 && (canShut || !c.Shuts())
		for i, pattern := range patterns {
			ok, err := path.Match(pattern, c.Name)
			if err != nil {
				return nil, fmt.Errorf("case %q: %w", pattern, err)
			}
			wanted = wanted || ok
			matched[i] = matched[i] || ok
		}
		switch {
		case wanted && c.Shuts():
			last = append(last, c)
		case wanted:
			selected = append(selected, c)
		}
	}
	for i, ok := range matched {
		if !ok {
			return nil, fmt.Errorf("no case matches %q", patterns[i])
		}
	}
	return append(selected, last...), nil
}
