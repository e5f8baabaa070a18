package harness

import (
	"context"
	"fmt"
	"os/exec"
)

// Build builds a package of this module, named from the module's root, such as
// cmd/server. race: with the race detector.
func Build(ctx context.Context, program, pkg string, race bool) error {
	arguments := []string{"build", "-o", program}
	if race {
		arguments = append(arguments, "-race")
	}
	arguments = append(arguments, "github.com/trunkline/trunkline/"+pkg)
	if out, err := exec.CommandContext(ctx, "go", arguments...).CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	return nil
}
