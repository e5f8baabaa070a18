// Command presence-sse shows who is in room:lobby on a page that the server
// renders and keeps live by server-sent events. Each open page is in the room
// while it is open. There is no channel and no phoenix.js here, but those who
// track themselves in room:lobby from channels would be in the list as well.
//
//	go run ./examples/presence-sse -listen 127.0.0.1:4500
//
// Open it in several windows. Two of these on one database show the same. The
// database is DATABASE_URL, else the embedded development Postgres.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trunkline/trunkline"
	"github.com/trunkline/trunkline/internal/devdb"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:4500", "address to serve plain HTTP on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen); err != nil {
		fmt.Fprintln(os.Stderr, "presence-sse:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, listen string) error {
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
		DatabaseURL:   url,
		SecretKeyBase: rand.Text(), // no tokens here
	})
	if err != nil {
		return err
	}
	room := follow(srv, "room:lobby")
	defer room.unfollow()
	server := &http.Server{Addr: listen, Handler: room.handler(), ReadHeaderTimeout: 10 * time.Second}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		slog.Info("presence by server-sent events", "url", "http://"+listen)
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
