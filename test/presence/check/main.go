package main

import (
	"context"
	"io"
	"os"

	"github.com/trunkline/trunkline/test/harness"
)

func main() { harness.Main(mainCode) }

// mainCode returns the exit code.
func mainCode(ctx context.Context, arguments []string, out io.Writer) int {
	s, err := parseSettings(arguments, os.Stderr)
	return harness.CheckerCode("presence", err, &s.logs, func() (int, error) {
		found, err := runCheck(ctx, s, out)
		return len(found), err
	})
}
