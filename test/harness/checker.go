package harness

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

// Exit codes of checkers.
const (
	ExitBroken    = 1 // there are violations
	ExitCannotRun = 2
)

// Main runs a checker as a program, until a signal.
func Main(code func(ctx context.Context, arguments []string, out io.Writer) int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	c := code(ctx, os.Args[1:], os.Stdout)
	stop()
	os.Exit(c)
}

// CheckerCode runs a check and returns the exit code. settingsError is what its
// arguments gave; logs is the directory of the servers' logs, a temporary one if
// it is empty, which is left where the check found something or failed.
func CheckerCode(name string, settingsError error, logs *string, check func() (violations int, err error)) int {
	cannot := func(err error) int {
		fmt.Fprintln(os.Stderr, "check:", err)
		return ExitCannotRun
	}
	switch {
	case errors.Is(settingsError, flag.ErrHelp):
		return 0
	case settingsError != nil:
		return cannot(settingsError)
	}
	ownLogs := *logs == ""
	var err error
	if ownLogs {
		*logs, err = os.MkdirTemp("", "trunkline-"+name+"-")
	} else {
		err = os.MkdirAll(*logs, 0o755)
	}
	if err != nil {
		return cannot(err)
	}
	violations, err := check()
	switch {
	case err != nil:
		return cannot(fmt.Errorf("%w\nThe servers' logs are in %s", err, *logs))
	case violations > 0:
		fmt.Fprintf(os.Stderr, "The servers' logs are in %s.\n", *logs)
		return ExitBroken
	}
	if ownLogs {
		if err := os.RemoveAll(*logs); err != nil {
			return cannot(err)
		}
	}
	return 0
}
