package migrations_test

import (
	"strings"
	"testing"

	"github.com/trunkline/trunkline/db/migrations"
)

func TestServerVersion(t *testing.T) {
	t.Parallel()
	for version, refused := range map[int]bool{9_06_24: true, 13_00_22: true, 14_00_00: false, 15_00_18: false, 18_00_04: false} {
		err := migrations.VersionError(version)
		if refused != (err != nil) {
			t.Errorf("version %d: %v", version, err)
		}
		if err != nil && !strings.Contains(err.Error(), "14") {
			t.Errorf("version %d: %v does not name the version needed", version, err)
		}
	}
}
