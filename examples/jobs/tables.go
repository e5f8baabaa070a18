package main

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// createTables is for all nodes, which may start at the same time.
func createTables(ctx context.Context, db *pgxpool.Pool) error {
	return pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			select pg_advisory_xact_lock(hashtextextended('print shop', 0));

			create table if not exists orders (
				id     bigint generated always as identity primary key,
				number text not null unique deferrable initially deferred,
				amount bigint not null
			);
			-- One charge an order, however often its job is tried.
			create table if not exists charges (
				order_number text primary key,
				amount       bigint not null,
				job_id       bigint not null,
				attempt      integer not null,
				charged_at   timestamptz not null default clock_timestamp()
			);
			create table if not exists departures (
				job_id bigint primary key,
				topic  text not null,
				key    text not null
			);`)
		return err
	})
}
