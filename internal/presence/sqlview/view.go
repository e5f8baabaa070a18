package sqlview

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/trunkline/trunkline/internal/dbsqlc"
	"github.com/trunkline/trunkline/internal/presence"
)

const (
	writeEvery = time.Second
	beatEvery  = 5 * time.Second // a life lasts 15 s without one

	// maxRows and maxBytes bound one statement.
	maxRows  = 1000
	maxBytes = 1 << 20
	// maxExpires bounds the statements that delete what others left, each time.
	maxExpires = 50

	statementTimeout = 5 * time.Second
	// endTimeout bounds all that Run does after its context has ended.
	endTimeout = 5 * time.Second
)

// Config of a View. DB and Node are required.
type Config struct {
	DB     dbsqlc.DBTX // a pool
	Schema string      // default "trunkline"
	Node   string      // the node's id on the bus: unique for each start

	Logger     *slog.Logger          // default: none
	Registerer prometheus.Registerer // default: none
}

// View keeps this node's part of the view. Make it with New, give Change to the
// tracker, and Run it, once.
type View struct {
	node    string
	db      dbsqlc.DBTX // within the schema
	queries *dbsqlc.Queries
	log     *slog.Logger
	metrics *metrics
	members *members

	// Of Run's goroutine.
	incarnation pgtype.UUID // not valid before the first member
	beaten      time.Time
	failing     bool
}

// New checks the configuration and registers the metrics. It sends nothing.
func New(c Config) (*View, error) {
	if c.DB == nil || c.Node == "" {
		return nil, errors.New("presence view: DB and Node are required")
	}
	schema, err := dbsqlc.NewSchema(c.Schema)
	if err != nil {
		return nil, fmt.Errorf("presence view: %w", err)
	}
	v := &View{node: c.Node, db: schema.In(c.DB), queries: dbsqlc.New(), log: c.Logger, members: newMembers()}
	if v.log == nil {
		v.log = slog.New(slog.DiscardHandler)
	}
	v.metrics = newMetrics(v.members)
	return v, v.metrics.register(c.Registerer)
}

// Change takes what has changed on this node, in the order of the changes. It
// does not block.
func (v *View) Change(joins, leaves []*presence.Entry) { v.members.change(joins, leaves) }

// Run writes until ctx ends; then it takes this node's members out of the view.
// What fails is logged and tried again. It returns nil.
func (v *View) Run(ctx context.Context) error {
	ticker := time.NewTicker(writeEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			v.end(context.WithoutCancel(ctx))
			return nil
		case now := <-ticker.C:
			err := v.work(ctx, now)
			if err != nil && !v.failing && ctx.Err() == nil {
				v.log.WarnContext(ctx, "presence view: not up to date; trying again", "error", err)
			}
			v.failing = err != nil
		}
	}
}

// work does what is due.
func (v *View) work(ctx context.Context, now time.Time) error {
	if err := v.beat(ctx, now); err != nil {
		return err
	}
	// What comes meanwhile is for the next time.
	for left := v.members.waiting(); left > 0; left -= maxRows {
		if err := v.beat(ctx, time.Now()); err != nil {
			return err
		}
		if err := v.write(ctx); err != nil {
			return err
		}
	}
	return nil
}

// beat renews this life, or begins one, when it is time, and deletes what is
// left of others.
func (v *View) beat(ctx context.Context, now time.Time) error {
	if !v.incarnation.Valid {
		if err := v.begin(ctx); err != nil {
			return err
		}
	}
	if now.Sub(v.beaten) < beatEvery {
		return nil
	}
	if v.incarnation.Valid {
		goesOn := false
		if err := v.statement(ctx, "beat", func(ctx context.Context) error {
			rows, err := v.queries.BeatPresence(ctx, v.db, v.incarnation)
			goesOn = rows > 0
			return err
		}); err != nil {
			return err
		}
		if !goesOn {
			v.over(ctx)
			return v.begin(ctx)
		}
	}
	v.beaten = now
	return v.expire(ctx)
}

// begin begins a life if anybody is tracked.
func (v *View) begin(ctx context.Context) error {
	if !v.members.any() {
		return nil
	}
	return v.statement(ctx, "begin", func(ctx context.Context) (err error) {
		v.incarnation, err = v.queries.BeginPresence(ctx, v.db, v.node)
		return err
	})
}

// over says that nobody sees this life any more.
func (v *View) over(ctx context.Context) {
	v.log.InfoContext(ctx, "presence view: writing everything anew: Postgres was away, or has lost it")
	v.incarnation = pgtype.UUID{}
	v.members.startOver()
}

// write sends one batch.
func (v *View) write(ctx context.Context) error {
	if !v.incarnation.Valid { // everybody has left meanwhile
		return nil
	}
	taken := v.members.take(maxRows, maxBytes)
	if len(taken) == 0 {
		return nil
	}
	p := dbsqlc.WritePresencesParams{Incarnation: v.incarnation}
	for _, c := range taken {
		if c.entry == nil {
			p.Gone = append(p.Gone, c.number)
			continue
		}
		p.Numbers = append(p.Numbers, c.number)
		p.Topics = append(p.Topics, c.entry.Topic)
		p.Keys = append(p.Keys, c.entry.Key)
		p.Metas = append(p.Metas, string(c.entry.Meta))
		p.OnlineAts = append(p.OnlineAts, pgtype.Timestamptz{Time: c.onlineAt, Valid: true})
	}
	goesOn := false
	if err := v.statement(ctx, "write", func(ctx context.Context) (err error) {
		goesOn, err = v.queries.WritePresences(ctx, v.db, p)
		return err
	}); err != nil {
		v.members.giveBack(taken)
		return err
	}
	if !goesOn {
		v.over(ctx)
		return nil
	}
	v.metrics.written.Add(float64(len(p.Numbers)))
	v.metrics.deleted.Add(float64(len(p.Gone)))
	return nil
}

// expire deletes the rows of lives that are over.
func (v *View) expire(ctx context.Context) error {
	for range maxExpires {
		deleted := int64(0)
		if err := v.statement(ctx, "expire", func(ctx context.Context) (err error) {
			deleted, err = v.queries.ExpirePresences(ctx, v.db, maxRows)
			return err
		}); err != nil || deleted < maxRows {
			return err
		}
	}
	return nil
}

// end takes this life out of the view, in one statement, and deletes its rows.
func (v *View) end(ctx context.Context) {
	if !v.incarnation.Valid {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	err := v.statement(ctx, "end", func(ctx context.Context) error {
		return v.queries.EndPresence(ctx, v.db, v.incarnation)
	})
	if err == nil {
		err = v.expire(ctx)
	}
	if err != nil {
		v.log.WarnContext(ctx, "presence view: this node's rows are left to the others", "error", err)
	}
}

func (v *View) statement(ctx context.Context, kind string, run func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	v.metrics.statements.WithLabelValues(kind).Inc()
	if err := run(ctx); err != nil {
		return fmt.Errorf("presence view: %s: %w", kind, err)
	}
	return nil
}
