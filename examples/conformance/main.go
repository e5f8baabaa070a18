// Command conformance is the fixture that recorded transcripts of a real
// Phoenix server can be replayed against. Two of them on one database form a
// cluster.
//
//	go run ./examples/conformance -listen 127.0.0.1:4400
//
// The database is DATABASE_URL, else the embedded development Postgres.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trunkline/trunkline"
	"github.com/trunkline/trunkline/internal/devdb"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:4400", "address to serve plain HTTP on")
	// As in Phoenix, each change is told on its own.
	diffInterval := flag.Duration("presence-diff-interval", -1, "least time between two presence diffs of a topic; negative: each change is told on its own")
	grace := flag.Duration("presence-grace", 20*time.Second, "grace period of the topics patient:*")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen, *diffInterval, *grace); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, listen string, diffInterval, grace time.Duration) error {
	url := os.Getenv("DATABASE_URL")
	if url == "" {
		db, err := devdb.Start(ctx, devdb.Options{DataDir: os.Getenv("TRUNKLINE_DATA_DIR"), Output: os.Stderr})
		if err != nil {
			return err
		}
		defer func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			if err := db.Stop(ctx); err != nil {
				slog.Error("embedded Postgres", "error", err)
			}
		}()
		url = db.URL()
	}
	srv, err := trunkline.New(trunkline.Config{
		DatabaseURL:          url,
		DatabaseDirectURL:    os.Getenv("DATABASE_DIRECT_URL"),
		SecretKeyBase:        strings.Repeat("0123456789abcdef", 4),
		Node:                 os.Getenv("NODE_NAME"),
		Host:                 "localhost",
		PresenceDiffInterval: diffInterval,
	})
	if err != nil {
		return err
	}
	mount(srv)
	mountCrowd(srv, grace)
	health := srv.HealthHandler()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /__server", hook(srv))
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		mux.Handle(path, health)
	}
	mux.Handle("/", srv)

	server := &http.Server{Addr: listen, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		slog.Info("conformance application", "url", "http://"+listen)
		if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		err := srv.Run(ctx)
		return errors.Join(err, server.Close())
	})
	return g.Wait()
}
