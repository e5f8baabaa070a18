package main

import (
	"os"
	"testing"

	"github.com/trunkline/trunkline/internal/pgtest"
)

// runProgram makes this test binary be the program itself, so that the tests see
// exit codes, signals and output of a process, with the race detector in it.
const runProgram = "TRUNKLINE_TEST_RUN_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(runProgram) != "" {
		main()
		os.Exit(0)
	}
	pgtest.Main(m)
}
