package trunkline

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/trunkline/trunkline/internal/history"
	"github.com/trunkline/trunkline/internal/jobs"
	"github.com/trunkline/trunkline/internal/presence"
	"github.com/trunkline/trunkline/internal/presence/departures"
	"github.com/trunkline/trunkline/internal/presence/sqlview"
	"github.com/trunkline/trunkline/internal/pubsub"
	"github.com/trunkline/trunkline/internal/realtime"
	"github.com/trunkline/trunkline/internal/sock"
	"github.com/trunkline/trunkline/internal/token"
)

// Server is one node: it serves sockets and belongs to the cluster of all
// servers on the same database and schema. Make it with New, add sockets and
// channels, serve it as an http.Handler and Run it.
type Server struct {
	cfg      Config
	engine   *realtime.Engine
	bus      *pubsub.Bus
	pool     *pgxpool.Pool
	signer   *token.Signer
	gatherer prometheus.Gatherer
	mux      *http.ServeMux
	routes   []realtime.Route

	durables   []durable
	registerer prometheus.Registerer
	history    atomic.Pointer[history.History] // set by Run
	presences  []presencePattern
	tracker    *presence.Tracker
	view       *sqlview.View                         // nil with Config.SkipPresenceView
	departures atomic.Pointer[departures.Departures] // set by Run, when a pattern asks for it

	jobsOptions *JobsOptions              // nil unless Jobs was called
	jobs        atomic.Pointer[jobs.Jobs] // set by Run
	riverPool   *pgxpool.Pool
}

// New checks the configuration and returns a server that has not opened a
// connection yet. Each error names its field, and the setting of the same
// meaning of the trunkline program.
func New(cfg Config) (*Server, error) {
	replica := cfg.Node // only a name that was given on purpose is unique
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	signer, err := token.New(cfg.SecretKeyBase, token.Options{})
	if err != nil {
		return nil, fmt.Errorf("configuration: SecretKeyBase (SECRET_KEY_BASE): %w", err)
	}
	s := &Server{cfg: cfg, signer: signer, mux: http.NewServeMux()}
	if s.registerer = cfg.Registerer; s.registerer == nil {
		registry := prometheus.NewRegistry()
		s.registerer, s.gatherer = registry, registry
	} else if g, ok := s.registerer.(prometheus.Gatherer); ok {
		s.gatherer = g
	}
	if s.bus, err = pubsub.New(pubsub.Config{
		DirectURL:    cfg.DatabaseDirectURL,
		Schema:       cfg.Schema,
		Node:         cfg.Node,
		StartTimeout: cfg.StartTimeout,
		Logger:       cfg.Logger,
		Registerer:   s.registerer,
	}); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if s.pool, err = newPool(cfg); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if s.riverPool, err = newRiverPool(cfg); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	s.engine = realtime.NewEngine(realtime.Config{
		MailboxSize:  cfg.MailboxSize,
		Host:         cfg.Host,
		DrainTimeout: cfg.DrainTimeout,
		Sock:         sock.Config{QueueBytes: cfg.QueueBytes, StallTimeout: cfg.StallTimeout},
		Bus:          node{s.bus},
		History:      stored{s},
		Signer:       signer,
		Logger:       cfg.Logger,
		Registerer:   s.registerer,
	})
	s.bus.Handle(realtime.KindBroadcast, func(m pubsub.Message) { s.engine.HandleBus(m.Topic, m.Body) })
	s.bus.OnHandled(s.engine.FlushBus)
	s.bus.Handle(history.KindHistory, func(m pubsub.Message) {
		if h := s.history.Load(); h != nil {
			h.HandleBus(m.Topic, m.Body)
		}
	})
	s.bus.OnLoss(func(pubsub.Loss) {
		if h := s.history.Load(); h != nil {
			h.Lost()
		}
	})
	if err = s.newPresenceView(); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if s.tracker, err = presence.New(presence.Config{
		Bus:             node{s.bus},
		Ready:           s.bus.Ready,
		Deliver:         s.deliverDiff,
		Options:         s.presenceOptions,
		OnLocal:         s.presenceChanged,
		Name:            replica,
		DiffInterval:    cfg.PresenceDiffInterval,
		BroadcastPeriod: cfg.PresenceBroadcastPeriod,
		DownPeriod:      cfg.PresenceDownPeriod,
		Logger:          cfg.Logger,
		Registerer:      s.registerer,
	}); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	s.bus.Handle(presence.KindPresence, func(m pubsub.Message) { s.tracker.HandleBus(m.Node, m.Body) })
	s.bus.OnLoss(func(pubsub.Loss) { s.tracker.Lost() })
	s.bus.Handle(jobs.KindJobs, func(m pubsub.Message) {
		if j := s.jobs.Load(); j != nil {
			j.HandleBus(m.Body)
		}
	})
	s.bus.OnLoss(func(pubsub.Loss) {
		if j := s.jobs.Load(); j != nil {
			j.Lost()
		}
	})
	s.bus.Handle(realtime.KindLongPoll, func(m pubsub.Message) { s.engine.HandleLongPollBus(m.Node, m.Topic, m.Body) })
	s.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte("not found"))
	})
	return s, nil
}

// node is the bus as the engine meets it.
type node struct{ *pubsub.Bus }

func (n node) Node() string { return n.ID() }

// newPool opens nothing yet. Behind a transaction pooler prepared statements
// break, so their descriptions are cached instead.
func newPool(cfg Config) (*pgxpool.Pool, error) {
	c, err := pgxpool.ParseConfig(cfg.DatabaseURL)
	if err != nil {
		return nil, errors.New("DatabaseURL (DATABASE_URL) cannot be parsed") // err may quote the password
	}
	c.MaxConns = int32(cfg.PoolSize)
	c.MinConns = 0
	if cfg.DatabaseURL != cfg.DatabaseDirectURL {
		c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	return pgxpool.NewWithConfig(context.Background(), c)
}

// newRiverPool opens nothing yet.
func newRiverPool(cfg Config) (*pgxpool.Pool, error) {
	c, err := pgxpool.ParseConfig(cfg.DatabaseDirectURL)
	if err != nil {
		return nil, errors.New("DatabaseDirectURL (DATABASE_DIRECT_URL) cannot be parsed") // err may quote the password
	}
	c.MaxConns, c.MinConns = riverConnections, 0
	return pgxpool.NewWithConfig(context.Background(), c)
}

// Channel leads the topics that match pattern, a plain topic or a prefix ending
// in "*", to channels made by newChannel, on every socket path. The first
// declared match counts. Call it before the server serves; a bad pattern is a
// panic.
func (s *Server) Channel(pattern string, newChannel func() Channel) {
	s.routes = append(s.routes, s.newRoute(pattern, newChannel))
}

// ServeHTTP serves the socket paths; everything else is 404.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Run migrates the schema, joins the cluster, and serves until ctx ends. Then
// it drains: clients are told to reconnect elsewhere (close code 1012) in
// batches, handlers finish, all within Config.DrainTimeout. Run returns nil
// after a complete drain. Keep the HTTP server accepting until Run returns:
// it refuses new sockets itself.
func (s *Server) Run(ctx context.Context) error {
	defer s.closePools()
	webhooks, err := s.newWebhooks()
	if err == nil {
		err = s.checkLeftWebhooks()
	}
	if err != nil {
		return err
	}
	if !s.cfg.SkipMigrations {
		switch err := Migrate(ctx, s.cfg); {
		case ctx.Err() != nil:
			return nil // told to end before it began
		case err != nil:
			return err
		}
	}
	hist, err := s.newHistory()
	if err != nil {
		return err
	}
	s.history.Store(hist)
	work, err := s.newJobs(hist, webhooks)
	if err != nil {
		return err
	}
	s.jobs.Store(work)
	left, err := s.newDepartures()
	if err != nil {
		return err
	}

	// Draining channels still publish and broadcast, so the parts end one after
	// the other: the engine and the jobs when ctx ends, then history and presence,
	// the bus last.
	engineCtx, stopEngine := context.WithCancel(ctx)
	stateCtx, stopState := context.WithCancel(context.WithoutCancel(ctx))
	busCtx, stopBus := context.WithCancel(context.WithoutCancel(ctx))
	var g errgroup.Group
	g.Go(func() error {
		defer stopState()
		return s.engine.Run(engineCtx)
	})
	g.Go(func() error {
		defer stopBus()
		var state errgroup.Group
		states := []func(context.Context) error{hist.Run, s.tracker.Run}
		if s.view != nil {
			states = append(states, s.view.Run)
		}
		if left != nil {
			states = append(states, left.Run)
		}
		state.Go(func() error {
			defer stopEngine()
			return work.Run(engineCtx)
		})
		for _, run := range states {
			state.Go(func() error {
				defer stopEngine()
				return run(stateCtx)
			})
		}
		return state.Wait()
	})
	g.Go(func() error {
		defer stopEngine()
		if err := s.bus.Run(busCtx); err != nil {
			return fmt.Errorf("bus: %w", err)
		}
		return nil
	})
	return g.Wait()
}

// poolCloseTimeout is far less than pgxpool waits for connections on which
// nobody answers, 15 s: they end by themselves, the process need not wait.
const poolCloseTimeout = 2 * time.Second

func (s *Server) closePools() {
	closed := make(chan struct{})
	go func() {
		s.riverPool.Close()
		s.pool.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(poolCloseTimeout):
		s.cfg.Logger.Warn("the database does not answer: its pooled connections are left to end by themselves")
	}
}

// Node is this node's id in the cluster, unique for each start.
func (s *Server) Node() string { return s.bus.ID() }

// Broadcast sends an event to every subscriber of a topic, on all nodes; to those
// of this node it goes before whatever is sent after Broadcast returned. At most
// once: a node that cannot be reached misses it.
func (s *Server) Broadcast(topic, event string, payload any) error {
	return s.broadcast(payload, func(p realtime.Payload) error { return s.engine.Broadcast(topic, event, p) })
}

// LocalBroadcast is Broadcast to this node's subscribers only.
func (s *Server) LocalBroadcast(topic, event string, payload any) error {
	return s.broadcast(payload, func(p realtime.Payload) error { return s.engine.LocalBroadcast(topic, event, p) })
}

// DirectBroadcast is Broadcast to one node's subscribers only, named by its
// Node id. An unknown node is silence.
func (s *Server) DirectBroadcast(node, topic, event string, payload any) error {
	return s.broadcast(payload, func(p realtime.Payload) error { return s.engine.DirectBroadcast(node, topic, event, p) })
}

func (s *Server) broadcast(payload any, send func(realtime.Payload) error) error {
	p, err := encode(payload)
	if err != nil {
		return err
	}
	return send(p)
}

// Disconnect closes all connections, on all nodes, whose Session.ID is id. The
// clients reconnect unless Connect refuses them.
func (s *Server) Disconnect(id string) error { return s.engine.Disconnect(id) }

// Subscribe calls f with every broadcast of a topic, from whichever node. f
// runs on the broadcaster's goroutine and must not block. cancel ends it.
func (s *Server) Subscribe(topic string, f func(*Message)) (cancel func()) {
	return s.engine.Subscribe(topic, func(b *realtime.Broadcast) { f(message(b)) })
}

var errDraining = errors.New("draining")

// Ready is nil when the node serves: database, listener and notifier are in
// order, and it is not draining. Otherwise it says what is wrong.
func (s *Server) Ready(ctx context.Context) error {
	if s.engine.Draining() {
		return errDraining
	}
	if err := s.bus.Ready(); err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	if err := s.tracker.Ready(); err != nil {
		return fmt.Errorf("presence: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := s.pool.Ping(ctx); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	return nil
}
