package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes.
const (
	exitBroken    = 1
	exitCannotRun = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := mainCode(ctx, os.Args[1:], os.Stdout)
	stop()
	os.Exit(code)
}

// mainCode returns the exit code.
func mainCode(ctx context.Context, arguments []string, out io.Writer) int {
	s, err := parseSettings(arguments, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
		return exitCannotRun
	}
	ownLogs := s.logs == ""
	if ownLogs {
		s.logs, err = os.MkdirTemp("", "trunkline-jobs-")
	} else {
		err = os.MkdirAll(s.logs, 0o755)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
		return exitCannotRun
	}
	found, err := runCheck(ctx, s, out)
	switch {
	case err != nil:
		fmt.Fprintf(os.Stderr, "check: %v\nThe servers' logs are in %s.\n", err, s.logs)
		return exitCannotRun
	case len(found) > 0:
		fmt.Fprintf(os.Stderr, "The servers' logs are in %s.\n", s.logs)
		return exitBroken
	}
	if ownLogs {
		if err := os.RemoveAll(s.logs); err != nil {
			fmt.Fprintln(os.Stderr, "check:", err)
			return exitCannotRun
		}
	}
	return 0
}
