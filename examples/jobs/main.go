// Command jobs is a print shop whose pushes are answered by background jobs:
// quick ones, slow ones that tell how far they are, some that change a table of
// the application and some that fail. Its lobby counts departures, by jobs too.
//
//	DATABASE_URL=postgres://... go run ./examples/jobs
//	DATABASE_URL=postgres://... LISTEN=127.0.0.1:4501 QUEUE_DEFAULT=0 go run ./examples/jobs
//
// The second node runs no jobs; its clients get their answers from the first.
// `go run ./examples/jobs --help` lists the settings. Anybody may connect, under
// any name: ws://127.0.0.1:4500/socket?user=ann.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"golang.org/x/sync/errgroup"

	"github.com/trunkline/trunkline"
)

func main() {
	var s settings
	kong.Parse(&s, kong.Description("A print shop whose pushes are answered by background jobs."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "jobs:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) error {
	db, err := pgxpool.New(ctx, s.DatabaseURL)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := createTables(ctx, db); err != nil {
		return fmt.Errorf("creating the tables: %w", err)
	}
	srv, err := trunkline.New(trunkline.Config{
		DatabaseURL:   s.DatabaseURL,
		SecretKeyBase: s.SecretKeyBase,
		Node:          s.NodeName,
		PoolSize:      s.PoolSize,
	})
	if err != nil {
		return err
	}
	options := s.jobs()
	options.Workers = func(workers *river.Workers) {
		river.AddWorker(workers, &echoWorker{})
		river.AddWorker(workers, &reportWorker{})
		river.AddWorker(workers, &failWorker{})
		river.AddWorker(workers, &chargeWorker{db: db})
		river.AddWorker(workers, &departureWorker{db: db})
	}
	srv.Jobs(options)
	mountShop(srv)
	mountLobby(srv, s.Grace)
	return serve(ctx, srv, s.Listen)
}

// serve ends when ctx does, after the running jobs and the channels.
func serve(ctx context.Context, srv *trunkline.Server, listen string) error {
	health := srv.HealthHandler()
	mux := http.NewServeMux()
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		mux.Handle(path, health)
	}
	mux.Handle("/socket/", srv)
	server := &http.Server{Addr: listen, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		slog.Info("print shop", "url", "http://"+listen)
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
