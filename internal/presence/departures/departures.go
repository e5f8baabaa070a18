package departures

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/trunkline/trunkline/internal/dbsqlc"
	"github.com/trunkline/trunkline/internal/presence"
)

const (
	// A change is written after writeAfter, with what came meanwhile.
	writeAfter  = 100 * time.Millisecond
	beatEvery   = 3 * time.Second // a life lasts 12 s without one
	settleEvery = 500 * time.Millisecond

	maxRows    = 1000
	maxSettled = 500

	statementTimeout = 5 * time.Second
	endTimeout       = 5 * time.Second
)

// Departure is a key's from a topic.
type Departure struct {
	Topic    string
	Key      string
	OnlineAt time.Time // when the key's last stay on a node began
	LeftAt   time.Time
}

// Config of Departures. All but Logger and Registerer are required.
type Config struct {
	Pool   *pgxpool.Pool
	Schema string
	// Grace of a topic, and whether its departures are to be acted on.
	Grace func(topic string) (time.Duration, bool)
	// Topics and Prefixes are those whose departures this node can act on.
	Topics, Prefixes []string
	// Act acts on departures as a part of the transaction.
	Act func(ctx context.Context, tx pgx.Tx, left []Departure) error

	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Departures is a node's part. Make it with New, give Change to the tracker,
// and Run it, once.
type Departures struct {
	config  Config
	schema  *dbsqlc.Schema
	queries *dbsqlc.Queries
	stays   *stays
	rung    chan struct{}
	settled prometheus.Counter

	// Of Run's goroutine.
	life    pgtype.UUID // not valid before the first stay
	batch   int64
	unsure  *batch // sent, its outcome unknown
	beaten  time.Time
	failing bool
}

// New sends nothing yet.
func New(c Config) (*Departures, error) {
	schema, err := dbsqlc.NewSchema(c.Schema)
	if err != nil {
		return nil, fmt.Errorf("departures: %w", err)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	d := &Departures{
		config: c, schema: schema, queries: dbsqlc.New(), stays: newStays(), rung: make(chan struct{}, 1),
		settled: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "trunkline_presence_departures_total", Help: "Departures from presence that this node acted on.",
		}),
	}
	if c.Registerer != nil {
		if err := c.Registerer.Register(d.settled); err != nil {
			return nil, fmt.Errorf("departures: registering metrics: %w", err)
		}
	}
	return d, nil
}

// Change takes what has changed on this node, in the order of the changes. It
// does not block.
func (d *Departures) Change(joins, leaves []*presence.Entry) {
	if !d.stays.change(joins, leaves, d.config.Grace) {
		return
	}
	select {
	case d.rung <- struct{}{}:
	default:
	}
}

// Run writes and settles until ctx ends; then all stays of this node end. What
// fails is logged and tried again. It returns nil.
func (d *Departures) Run(ctx context.Context) error {
	settle := time.NewTimer(rand.N(settleEvery))
	defer settle.Stop()
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			d.end(context.WithoutCancel(ctx))
			return nil
		case <-d.rung:
			pause(ctx, writeAfter)
			err = d.write(ctx)
		case <-beat.C:
			err = d.beat(ctx)
		case <-settle.C:
			err = d.settle(ctx)
			settle.Reset(settleEvery/2 + rand.N(settleEvery))
		}
		if err != nil && !d.failing && ctx.Err() == nil {
			d.config.Logger.WarnContext(ctx, "departures: not up to date; trying again", "error", err)
		}
		d.failing = err != nil
	}
}

// write sends all that has changed.
func (d *Departures) write(ctx context.Context) error {
	for {
		if d.unsure == nil {
			if d.unsure = d.stays.take(maxRows); d.unsure == nil {
				return nil
			}
			d.batch++
		}
		if err := d.send(ctx, d.unsure); err != nil {
			return err
		}
	}
}

// beat renews the life, and ends those that were not renewed.
func (d *Departures) beat(ctx context.Context) error {
	if err := d.write(ctx); err != nil {
		return err
	}
	if d.life.Valid && time.Since(d.beaten) >= beatEvery/2 {
		if err := d.send(ctx, &batch{}); err != nil {
			return err
		}
	}
	return d.statement(ctx, "ending lost lives", func(ctx context.Context, db dbsqlc.DBTX) error {
		_, err := d.queries.EndLostStays(ctx, db)
		return err
	})
}

// send writes one batch, beginning a life if there is none; an empty one only
// renews it.
func (d *Departures) send(ctx context.Context, b *batch) error {
	if !d.life.Valid {
		if err := d.statement(ctx, "beginning a life", func(ctx context.Context, db dbsqlc.DBTX) (err error) {
			d.life, err = d.queries.BeginStays(ctx, db)
			return err
		}); err != nil {
			return err
		}
	}
	params := dbsqlc.WriteStaysParams{Life: d.life, Batch: d.batch}
	for _, c := range b.came {
		params.Came = append(params.Came, c.number)
		params.Topics = append(params.Topics, c.topic)
		params.Keys = append(params.Keys, c.key)
		params.Graces = append(params.Graces, c.grace.Seconds())
		params.CameAgo = append(params.CameAgo, time.Since(c.onlineAt).Seconds())
	}
	for _, w := range b.went {
		params.Went = append(params.Went, w.number)
		params.WentAgo = append(params.WentAgo, time.Since(w.leftAt).Seconds())
	}
	goesOn := false
	if err := d.statement(ctx, "writing", func(ctx context.Context, db dbsqlc.DBTX) (err error) {
		goesOn, err = d.queries.WriteStays(ctx, db, params)
		return err
	}); err != nil {
		return err
	}
	d.beaten = time.Now()
	unwritten := d.unsure
	d.unsure = nil
	if goesOn {
		return nil
	}
	d.config.Logger.InfoContext(ctx, "departures: this node was given up meanwhile: writing who is here anew")
	d.life = pgtype.UUID{}
	d.stays.startOver(unwritten)
	return d.write(ctx)
}

// settle acts on the departures among the stays that have ended.
func (d *Departures) settle(ctx context.Context) error {
	for {
		n := 0
		err := d.statement(ctx, "settling", func(ctx context.Context, _ dbsqlc.DBTX) error {
			return pgx.BeginFunc(ctx, d.config.Pool, func(tx pgx.Tx) error {
				rows, err := d.queries.SettleStays(ctx, d.schema.In(tx), dbsqlc.SettleStaysParams{
					Topics: d.config.Topics, Prefixes: d.config.Prefixes, AtMost: maxSettled,
				})
				if err != nil || len(rows) == 0 {
					return err
				}
				left := make([]Departure, len(rows))
				for i, row := range rows {
					left[i] = Departure{row.Topic, row.Key, row.OnlineAt.Time, row.LeftAt.Time}
				}
				n = len(left)
				return d.config.Act(ctx, tx, left)
			})
		})
		if err != nil || n == 0 {
			return err
		}
		d.settled.Add(float64(n))
	}
}

// end ends this life: all that were here have left.
func (d *Departures) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	err := d.write(ctx)
	if err == nil && d.life.Valid {
		err = d.statement(ctx, "ending this life", func(ctx context.Context, db dbsqlc.DBTX) error {
			_, err := d.queries.EndStays(ctx, db, d.life)
			return err
		})
	}
	if err == nil {
		err = d.settle(ctx)
	}
	if err != nil {
		d.config.Logger.WarnContext(ctx, "departures: what is left is settled by the other nodes", "error", err)
	}
}

func (d *Departures) statement(ctx context.Context, doing string, run func(context.Context, dbsqlc.DBTX) error) error {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	if err := run(ctx, d.schema.In(d.config.Pool)); err != nil {
		return fmt.Errorf("departures: %s: %w", doing, errors.Join(err, ctx.Err()))
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
