package main

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/trunkline/trunkline/test/harness"
)

// patience is how long a test waits for what has to happen.
const patience = 20 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		harness.Pause(t.Context(), 5*time.Millisecond)
	}
}
