package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trunkline/trunkline"
	"github.com/trunkline/trunkline/examples/chat"
	"github.com/trunkline/trunkline/jobsui"
)

type serveCommand struct {
	serverSettings
	Demo bool `env:"DEMO" help:"Serve the demo page, whose /demo/token signs in anybody."`
}

// Run serves until SIGINT or SIGTERM.
func (c *serveCommand) Run(ctx context.Context) error {
	return c.serve(ctx, c.Demo, nil)
}

// serve runs one node. ready, when not nil, is told the page's URL once the
// node is in the cluster.
func (s *serverSettings) serve(ctx context.Context, demo bool, ready func(url string)) error {
	log := s.logger()
	slog.SetDefault(log)
	if err := s.check(); err != nil {
		return err
	}
	origin, err := s.originPolicy()
	if err != nil {
		return err
	}
	jwt, err := s.JWT.verifier(ctx)
	if err != nil {
		return err
	}
	if jwt != nil {
		defer jwt.Close()
	}
	webhooks, err := s.Webhook.endpoints()
	if err != nil {
		return err
	}
	if s.PresenceLeftWebhook != "" && webhooks[s.PresenceLeftWebhook].URL == "" {
		return fmt.Errorf("PRESENCE_LEFT_WEBHOOK is %q: WEBHOOKS has no endpoint of that name", s.PresenceLeftWebhook)
	}
	if s.PresenceGrace < 0 {
		return fmt.Errorf("PRESENCE_GRACE is %v: want 0s or more", s.PresenceGrace)
	}
	srv, err := trunkline.New(trunkline.Config{
		DatabaseURL:       s.DatabaseURL,
		DatabaseDirectURL: s.DatabaseDirectURL,
		Schema:            s.Schema,
		SkipMigrations:    s.SkipMigrations,
		PoolSize:          s.PoolSize,
		SecretKeyBase:     s.SecretKeyBase,
		Node:              s.Node,
		Host:              s.PublicHost,
		QueueBytes:        s.QueueBytes,
		DrainTimeout:      s.DrainTimeout,
		Logger:            log,
	})
	if err != nil {
		return err
	}
	page := chat.Register(srv, chat.Options{
		AllowTopic:  func(_, topic string) bool { return s.roomAllowed(topic) },
		Verify:      verifyUser(srv, jwt),
		CheckOrigin: origin,
		Demo:        demo,
		Jobs:        trunkline.JobsOptions{Webhooks: webhooks},
		Presence:    trunkline.PresenceOptions{Grace: s.PresenceGrace, LeftWebhook: s.PresenceLeftWebhook},
	})
	jobsPage, err := s.Admin.jobsUI(srv, log)
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(s.Bind, strconv.Itoa(s.Port)))
	if err != nil {
		return fmt.Errorf("PORT %d, BIND %q: %w", s.Port, s.Bind, err)
	}
	httpServer := &http.Server{Handler: handler(srv, page, jobsPage), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}

	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := httpServer.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		err := srv.Run(gctx)
		return errors.Join(err, httpServer.Close())
	})
	g.Go(func() error {
		if awaitReady(gctx, srv) {
			log.Info("serving", "address", listener.Addr().String(), "node", srv.Node())
			if ready != nil {
				ready("http://" + pageHost(listener.Addr()))
			}
		}
		return nil
	})
	return g.Wait()
}

// handler joins the sockets, the health checks, the page and, unless it is nil,
// the page of the jobs.
func handler(srv *trunkline.Server, page, jobsPage http.Handler) http.Handler {
	mux := http.NewServeMux()
	health := srv.HealthHandler()
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		mux.Handle(path, health)
	}
	mux.Handle("/socket/", srv)
	if jobsPage != nil {
		mux.Handle(jobsui.DefaultPrefix, jobsPage)
		mux.Handle(jobsui.DefaultPrefix+"/", jobsPage)
	}
	mux.Handle("/", page)
	return mux
}

// verifyUser accepts Phoenix tokens and, when it is configured, JWTs.
func verifyUser(srv *trunkline.Server, jwt *trunkline.JWTVerifier) func(context.Context, string) (string, error) {
	return func(ctx context.Context, tok string) (string, error) {
		// A JWT's header is JSON, which base64 begins with "eyJ"; a Phoenix
		// token begins with SFM.
		if jwt == nil || !strings.HasPrefix(tok, "eyJ") {
			return srv.VerifyUserToken(chat.TokenSalt, tok, 0)
		}
		claims, err := jwt.Verify(ctx, tok)
		if err != nil {
			return "", err
		}
		if claims.Subject == "" {
			return "", fmt.Errorf("%w: no sub", trunkline.ErrTokenInvalid)
		}
		return claims.Subject, nil
	}
}

// awaitReady polls until the node is ready; false when ctx ended first.
func awaitReady(ctx context.Context, srv *trunkline.Server) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for srv.Ready(ctx) != nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// pageHost is where a browser on this machine finds the listener.
func pageHost(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() || ip.IsLoopback() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
