package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trunkline/trunkline/internal/devdb"
)

type devCommand struct {
	serverSettings
	DataDir string `env:"TRUNKLINE_DATA_DIR" help:"Data directory of the embedded Postgres. Default: /var/lib/trunkline/dev for root, else below the user's data directory."`
}

// Run starts an embedded Postgres unless DATABASE_URL is set, and the demo.
// Several of them with one data directory share the Postgres and form a
// cluster.
func (c *devCommand) Run(ctx context.Context) error {
	if c.Bind == "" {
		c.Bind = "127.0.0.1"
	}
	if c.SecretKeyBase == "" {
		secret, err := devSecret()
		if err != nil {
			return err
		}
		c.SecretKeyBase = secret
	}
	if c.DatabaseURL != "" {
		return c.serveDemo(ctx)
	}
	if c.DatabaseDirectURL != "" {
		return errors.New("DATABASE_DIRECT_URL is set but DATABASE_URL is not: set both, or neither for the embedded Postgres")
	}
	db, err := devdb.Start(ctx, devdb.Options{DataDir: c.DataDir, Output: os.Stderr, Logger: c.logger()})
	if err != nil {
		return fmt.Errorf("embedded Postgres: %w", err)
	}
	c.DatabaseURL = db.URL()

	g, gctx := errgroup.WithContext(ctx)
	served := make(chan struct{})
	g.Go(func() error {
		defer close(served)
		return c.serveDemo(gctx)
	})
	g.Go(func() error {
		select {
		case <-db.Done():
			return fmt.Errorf("embedded Postgres: %w", db.Err())
		case <-served:
			return nil
		}
	})
	err = g.Wait()
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	return errors.Join(err, db.Stop(stopCtx))
}

// serveDemo serves and tells a person what to do next.
func (c *devCommand) serveDemo(ctx context.Context) error {
	return c.serve(ctx, true, func(url string) {
		fmt.Printf("\n  Open %s in two browser windows. Ctrl-C stops the server.\n\n"+
			"  Announce something from another terminal:\n"+
			"  DATABASE_URL='%s' %s broadcast room:lobby announcement '{\"body\": \"Hello\"}'\n\n",
			url, c.DatabaseURL, os.Args[0])
	})
}

// devSecret is a secret of this machine's user, made once, so that all dev
// nodes sign alike and tokens outlive a restart.
func devSecret() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("SECRET_KEY_BASE is not set, and no place to keep one was found: %w", err)
	}
	path := filepath.Join(dir, "trunkline", "dev_secret_key_base")
	if data, err := os.ReadFile(path); err == nil && len(data) > 0 {
		return string(data), nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("dev secret: %w", err)
	}
	raw := make([]byte, 48)
	_, _ = rand.Read(raw) // never fails
	secret := base64.RawURLEncoding.EncodeToString(raw)
	// Written aside and linked, so that of two first starters one wins and
	// neither reads half a secret.
	tmp, err := os.CreateTemp(filepath.Dir(path), "secret")
	if err != nil {
		return "", fmt.Errorf("dev secret: %w", err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.WriteString(secret)
	if err = errors.Join(err, tmp.Close()); err != nil {
		return "", fmt.Errorf("dev secret: %w", err)
	}
	if err := os.Link(tmp.Name(), path); errors.Is(err, fs.ErrExist) {
		data, err := os.ReadFile(path)
		return string(data), err
	} else if err != nil {
		return "", fmt.Errorf("dev secret: %w", err)
	}
	return secret, nil
}
