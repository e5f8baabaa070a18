// Command server is the application that the load tool measures: the public API
// as any application uses it, with channels for each kind of traffic. A private
// port has what the tool asks for: profiles, the runtime's figures, and
// publishing from Go.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	_ "net/http/pprof" // on the private port
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/sync/errgroup"

	"github.com/trunkline/trunkline"
	"github.com/trunkline/trunkline/internal/heapfloor"
)

type settings struct {
	Listen      string `default:"127.0.0.1:4500" help:"Address of the sockets, /readyz and /metrics."`
	Private     string `default:"127.0.0.1:4501" help:"Address of profiles and of what the load tool asks for."`
	DatabaseURL string `name:"database-url" env:"DATABASE_URL" required:"" help:"Postgres of the run."`
	Secret      string `env:"SECRET_KEY_BASE" required:"" help:"Secret that tokens are signed with."`
	Node        string `help:"This node's name."`
	Jobs        int    `default:"-1" help:"Jobs that this node runs at once; -1 sets none up."`
}

func main() {
	heapfloor.Keep() // as the program does
	var s settings
	kong.Parse(&s)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := s.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

func (s *settings) run(ctx context.Context) error {
	srv, err := trunkline.New(trunkline.Config{
		DatabaseURL:   s.DatabaseURL,
		SecretKeyBase: s.Secret,
		Node:          s.Node,
		Logger:        slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return err
	}
	mount(srv)
	if s.Jobs >= 0 {
		setUpJobs(srv, s.Jobs)
	}
	public := http.NewServeMux()
	health := srv.HealthHandler()
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		public.Handle(path, health)
	}
	public.Handle("/socket/", srv)

	servers := []*http.Server{
		{Addr: s.Listen, Handler: public, ReadHeaderTimeout: 10 * time.Second},
		{Addr: s.Private, Handler: private(srv), ReadHeaderTimeout: 10 * time.Second},
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, server := range servers {
		g.Go(func() error {
			if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
	}
	g.Go(func() error {
		err := srv.Run(ctx)
		for _, server := range servers {
			err = errors.Join(err, server.Close())
		}
		return err
	})
	return g.Wait()
}
