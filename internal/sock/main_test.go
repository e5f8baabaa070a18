package sock

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// The memory test needs its clients in another process: this binary again.
	if addr := os.Getenv(idleClientsEnv); addr != "" {
		os.Exit(runIdleClients(addr))
	}
	goleak.VerifyTestMain(m)
}
