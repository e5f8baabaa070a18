package history

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/trunkline/trunkline/internal/dbsqlc"
	"github.com/trunkline/trunkline/internal/textarray"
)

// A database is what the part in memory asks of Postgres: see store.
type database interface {
	ensureTopics(ctx context.Context, names []string) (map[string]topicState, error)
	findTopics(ctx context.Context, names []string) (map[string]topicState, error)
	heads(ctx context.Context, topicIDs []int64) (map[int64]int64, error)
	append(ctx context.Context, batch []entry, wait bool) ([]verdict, time.Time, error)
	after(ctx context.Context, readings []reading, maxBytes int) ([]rows, error)
	before(ctx context.Context, r reading, before int64, maxBytes int) (rows, error)
	seen(ctx context.Context, topicID int64, user string, id int64) (int64, error)
	unread(ctx context.Context, user string, topics []string) (map[string]int64, error)
	generation(ctx context.Context) (int64, error)
	register(ctx context.Context, ps patterns) error
}

// A backend lends connections.
type backend interface {
	// use calls f with a database that nobody else uses meanwhile, and its
	// generation. It fails with what f returns, or with an errNotConnected.
	use(ctx context.Context, f func(db database, generation int64) error) error
}

// errNotConnected says that nothing was sent to Postgres.
var errNotConnected = errors.New("not connected to Postgres")

// generations knows the newest generation of the database: see
// store.generation.
type generations struct {
	newest  atomic.Int64
	changed func() // called when there is a newer one than before
}

// found notes a generation, and tells whether it is the newest.
func (g *generations) found(generation int64) bool {
	for {
		newest := g.newest.Load()
		if generation <= newest {
			return generation == newest
		}
		if g.newest.CompareAndSwap(newest, generation) {
			if newest != 0 {
				g.changed()
			}
			return true
		}
	}
}

// pool is the backend of real life. It asks each new connection for the
// database's generation before it lends it, and lends none that leads to an
// older one than others do.
type pool struct {
	conns       *pgxpool.Pool
	schema      *dbsqlc.Schema
	count       func(kind string)
	generations *generations
}

// generationKey is where a connection's generation is kept.
const generationKey = "trunkline.history.generation"

func (p *pool) use(ctx context.Context, f func(database, int64) error) error {
	for {
		conn, generation, err := p.acquire(ctx)
		if err != nil {
			return fmt.Errorf("%w: %w", errNotConnected, err)
		}
		if p.generations.found(generation) {
			err := f(newStore(p.schema, conn, p.count), generation)
			broken := conn.Conn().IsClosed() && !pgconn.Timeout(err) && !errors.Is(err, context.Canceled)
			conn.Release()
			if broken {
				p.conns.Reset() // the others will hardly be any better
			}
			return err
		}
		_ = conn.Conn().Close(ctx) // the pool replaces it
		conn.Release()
	}
}

func (p *pool) acquire(ctx context.Context) (*pgxpool.Conn, int64, error) {
	conn, err := p.conns.Acquire(ctx)
	if err != nil {
		return nil, 0, err
	}
	data := conn.Conn().PgConn().CustomData()
	if generation, ok := data[generationKey].(int64); ok {
		return conn, generation, nil
	}
	generation, err := newStore(p.schema, conn, p.count).generation(ctx)
	if err != nil {
		conn.Release()
		return nil, 0, err
	}
	textarray.Register(conn.Conn().TypeMap())
	data[generationKey] = generation
	return conn, generation, nil
}
