package harness

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/trunkline/trunkline/internal/devdb"
)

// Postgres is a server of the run's own. Unlike the databases of tests it keeps
// Postgres's own settings for durability: an immediate stop must lose nothing
// that was committed.
type Postgres struct {
	*devdb.DB
	home string
}

// StartPostgres starts one with 200 connections. name: of its directory; out
// gets lines for a person. Remove it at the end.
func StartPostgres(ctx context.Context, name string, out io.Writer) (*Postgres, error) {
	home, err := postgresHome(name)
	if err != nil {
		return nil, err
	}
	db, err := devdb.Start(ctx, devdb.Options{
		DataDir:     filepath.Join(home, "db"),
		ReuseInitdb: true,
		Output:      out,
		Settings:    map[string]string{"max_connections": "200"},
	})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(home))
	}
	return &Postgres{db, home}, nil
}

// postgresHome is a directory that the user who runs Postgres can enter, where
// the databases of tests are: the tests' clean-up removes it should this process
// be killed.
func postgresHome(name string) (string, error) {
	cache, err := devdb.CacheDir()
	if err != nil {
		return "", err
	}
	parent := filepath.Join(cache, "pgtest")
	for _, dir := range []string{cache, parent} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", err
		}
		// Whatever the umask: root's Postgres runs as another user.
		if err := os.Chmod(dir, 0o755); err != nil {
			return "", err
		}
	}
	home, err := os.MkdirTemp(parent, name+"-")
	if err != nil {
		return "", err
	}
	return home, os.Chmod(home, 0o755)
}

// Link returns a link to the server, and the database's address by way of it.
func (p *Postgres) Link() (*Link, string, error) {
	direct, err := url.Parse(p.URL())
	if err != nil {
		return nil, "", err
	}
	query := direct.Query()
	socket := filepath.Join(query.Get("host"), ".s.PGSQL."+query.Get("port"))
	link, err := NewLink(func() (net.Conn, error) { return net.Dial("unix", socket) })
	if err != nil {
		return nil, "", err
	}
	through := &url.URL{
		Scheme: direct.Scheme, User: direct.User, Host: link.Address(), Path: direct.Path, RawQuery: "sslmode=disable",
	}
	return link, through.String(), nil
}

// Remove stops the server and deletes its data.
func (p *Postgres) Remove() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return errors.Join(p.Stop(ctx), os.RemoveAll(p.home))
}
