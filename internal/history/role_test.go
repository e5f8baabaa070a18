package history

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/trunkline/trunkline/db/migrations"
	"github.com/trunkline/trunkline/internal/dbsqlc"
	"github.com/trunkline/trunkline/internal/pgtest"
)

// Everything works for a role that owns its schema and is nothing else, in a
// schema of any name; and an application's role may publish there, no more.
func TestOrdinaryRoles(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	databaseURL := pgtest.EmptyURL(t)
	admin := connect(t, databaseURL)
	database := pgx.Identifier{admin.Config().Database}
	owner, app := database[0]+"_owner", database[0]+"_app"
	as := func(role string) string {
		parsed, err := url.Parse(databaseURL)
		if err != nil {
			t.Fatal(err)
		}
		parsed.User = url.User(role)
		return parsed.String()
	}
	exec(t, admin, "create role "+owner+" login")
	exec(t, admin, "create role "+app+" login")
	t.Cleanup(func() {
		_, _ = admin.Exec(ctx, "drop owned by "+owner+", "+app+" cascade; drop role "+owner+", "+app)
	})
	exec(t, admin, "create schema rt authorization "+owner)
	if err := migrations.Up(ctx, as(owner), "rt"); err != nil {
		t.Fatal(err)
	}
	schema, err := dbsqlc.NewSchema("rt")
	if err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.New(ctx, as(owner))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	s := newStore(schema, pool, nil)
	if generation, err := s.generation(ctx); err != nil || generation == 0 {
		t.Errorf("generation %d, %v", generation, err)
	}
	ps, err := newPatterns([]Pattern{{Pattern: "*", MaxAge: 7 * day, MaxCount: 100, IDKey: "n"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.register(ctx, ps); err != nil {
		t.Error(err)
	}
	m := &maintainer{db: pool, schema: schema, patterns: ps, log: slog.New(slog.DiscardHandler)}
	mustMaintain(t, m)
	topic := topicNamed(t, s, "a")
	mustAppend(t, s, message(topic, "1"))
	if _, err := s.seen(ctx, topic, "ann", 1); err != nil {
		t.Error(err)
	}
	r := startRelayAs(t, as(owner), schema)

	exec(t, admin, "grant usage on schema rt to "+app)
	client := connect(t, as(app))
	exec(t, client, "create temporary table orders (id int); create trigger changes after insert on orders for each row execute function rt.publish_changes('order:', 'id')")
	exec(t, client, "set search_path = pg_temp; select rt.publish('a', 'e', '{\"id\": 1}'), rt.update_message('a', 1, '{}'), rt.delete_message('a', 1), rt.broadcast('a', 'e', '{}')")
	exec(t, client, "insert into orders values (7)")
	if rows := r.await(t, atLeast(5)); rows[4].topic != "order:7" || rows[4].id != 1 {
		t.Errorf("the trigger's row is %+v", rows[4].topic)
	}
	if _, err := client.Exec(ctx, "select rt.publish('a', 'e', '{\"n\": 1}')"); err == nil || !strings.Contains(err.Error(), "'n'") {
		t.Errorf("the key of the id: %v", err)
	}
	for _, sql := range []string{
		"select rt.append(array[1], array['e'], array['{}'], null, null, true)", "select * from rt.drain(0, 1, 1)",
		"insert into rt.outbox (topic, event, payload) values ('a', 'phx_close', '{}')",
		"select * from rt.messages", "select rt.make_partition('1 day', 100, 1)", "select rt.enqueue('a', 'phx_close', '{}', null, null, true)",
	} {
		var pgErr *pgconn.PgError
		if _, err := client.Exec(ctx, sql); !errors.As(err, &pgErr) || pgErr.Code != "42501" {
			t.Errorf("%s: %v, want permission denied", sql, err)
		}
	}
}
