package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trunkline/trunkline/test/harness"
	"github.com/trunkline/trunkline/test/history/verify"
)

// queryTimeout bounds what the checker itself asks Postgres.
const queryTimeout = 20 * time.Second

// A database is the Postgres of the run.
type database struct{ *harness.Postgres }

// with runs f on a connection of its own, not through any link.
func (d *database) with(ctx context.Context, f func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, d.URL())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // it has told what it was asked
	return f(ctx, conn)
}

// heads are the topics' newest ids, and how much has no id yet.
func (d *database) heads(ctx context.Context) (heads map[string]int64, waiting int, err error) {
	err = d.with(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		// The outbox first: what leaves it is in the heads at once.
		if err := conn.QueryRow(ctx, `select count(*) from trunkline.outbox`).Scan(&waiting); err != nil {
			return err
		}
		topics, err := topics(ctx, conn)
		heads = make(map[string]int64, len(topics))
		for _, t := range topics {
			heads[t.Name] = t.Head
		}
		return err
	})
	return heads, waiting, err
}

func topics(ctx context.Context, conn *pgx.Conn) ([]verify.Topic, error) {
	rows, err := conn.Query(ctx, `select name, head from trunkline.topics order by name`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[verify.Topic])
}

// read takes everything that is stored into the run's records.
func (d *database) read(ctx context.Context, run *verify.Run) error {
	return d.with(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		var err error
		if run.Topics, err = topics(ctx, conn); err != nil {
			return err
		}
		rows, err := conn.Query(ctx, `
			select t.name, m.id, m.event, m.payload
			from trunkline.messages m join trunkline.topics t on t.id = m.topic_id
			order by t.id, m.id`)
		if err != nil {
			return err
		}
		var topic, event, payload string
		var id int64
		_, err = pgx.ForEachRow(rows, []any{&topic, &id, &event, &payload}, func() error {
			p, err := verify.ParsePayload([]byte(payload))
			if err != nil {
				return fmt.Errorf("stored message %s %d: %w", topic, id, err)
			}
			run.Rows = append(run.Rows, verify.Row{Topic: topic, ID: id, Event: event, Key: p.Key, Text: p.Text, Payload: p.Whole})
			return nil
		})
		return err
	})
}

// cutListeners ends the backends that listen, and returns how many they were.
func (d *database) cutListeners(ctx context.Context) (cut int, err error) {
	err = d.with(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `
			select count(pg_terminate_backend(pid)) from pg_stat_activity
			where application_name like '%listener' and pid <> pg_backend_pid()`).Scan(&cut)
	})
	return cut, err
}
