//go:build linux

// Command bench measures the server on this machine: scenarios of load, each
// beside floors of the same run, so that every figure is a ratio.
//
//	make bench                  all scenarios; rewrites the table of docs/performance.md
//	make bench-smoke            all of them, tiny, for correctness only
//	make bench-compare BASE=v1 SCENARIOS="fan-out rooms"
//	make bench-scale            what costs grow with, for docs/scale.md
//	go run ./bench run fan-out echo --profiles /tmp/profiles
//
// The load comes from this process (package load); servers (bench/server),
// floors and Postgres are processes of their own, whose CPU is counted. A run
// fails when anything is lost, doubled or out of order.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/trunkline/trunkline/bench/floor"
)

type commands struct {
	Run     runCommand     `cmd:"" help:"Run scenarios."`
	Compare compareCommand `cmd:"" help:"Run scenarios on another revision and on this one, in turns."`
	Scale   scaleCommand   `cmd:"" help:"Measure what costs grow with, at three sizes each."`
	Floor   floorCommand   `cmd:"" hidden:""`
}

type floorCommand struct{}

// Run is the floor's process.
func (floorCommand) Run() error { return floor.Run(os.Stdin, os.Stdout) }

func main() {
	var c commands
	parsed := kong.Parse(&c, kong.Name("bench"), kong.Description("Measures the server on this machine."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	parsed.BindTo(ctx, (*context.Context)(nil))
	err := parsed.Run()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
