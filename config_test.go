package trunkline_test

import (
	"strings"
	"testing"

	"github.com/trunkline/trunkline"
)

// Each wrong field is reported, once, by its name and that of its setting.
func TestConfigErrors(t *testing.T) {
	t.Parallel()
	const url, other = "postgres://app:hunter2@127.0.0.1/app", "mysql://app:hunter2@127.0.0.1/app"
	for name, c := range map[string]struct {
		change func(*trunkline.Config)
		want   []string
	}{
		"no database":      {func(c *trunkline.Config) { c.DatabaseURL = "" }, []string{"DatabaseURL (DATABASE_URL) is missing"}},
		"another database": {func(c *trunkline.Config) { c.DatabaseURL = other }, []string{"DatabaseURL (DATABASE_URL) is not"}},
		"another direct database": {
			func(c *trunkline.Config) { c.DatabaseDirectURL = other },
			[]string{"DatabaseDirectURL (DATABASE_DIRECT_URL) is not"},
		},
		"two other databases": {
			func(c *trunkline.Config) { c.DatabaseURL, c.DatabaseDirectURL = other, other+"2" },
			[]string{"DatabaseURL (DATABASE_URL) is not", "DatabaseDirectURL (DATABASE_DIRECT_URL) is not"},
		},
		"no secret": {func(c *trunkline.Config) { c.SecretKeyBase = "" }, []string{"SecretKeyBase (SECRET_KEY_BASE) is missing"}},
		"numbers": {func(c *trunkline.Config) {
			c.PoolSize, c.QueueBytes, c.MailboxSize, c.DrainTimeout, c.StallTimeout, c.StartTimeout = 1, -1, -1, -1, -1, -1
		}, []string{
			"PoolSize (DATABASE_POOL_SIZE) is 1: want at least 2", "QueueBytes (QUEUE_BYTES) is negative",
			"DrainTimeout (DRAIN_TIMEOUT) is negative", "StallTimeout is negative", "MailboxSize is negative", "StartTimeout is negative",
		}},
	} {
		config := trunkline.Config{DatabaseURL: url, SecretKeyBase: "a secret of twenty bytes"}
		c.change(&config)
		_, err := trunkline.New(config)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		lines := strings.Split(strings.TrimPrefix(err.Error(), "configuration: "), "\n")
		if len(lines) != len(c.want) {
			t.Errorf("%s: %d errors, want %d:\n%v", name, len(lines), len(c.want), err)
		}
		for i := range min(len(lines), len(c.want)) {
			if !strings.HasPrefix(lines[i], c.want[i]) {
				t.Errorf("%s: error %q, want %q", name, lines[i], c.want[i])
			}
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the password is in %v", name, err)
		}
	}
}
