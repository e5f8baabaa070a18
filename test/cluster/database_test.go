package cluster

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
)

// query returns the one value of a query, over a connection of its own.
func query[T any](ctx context.Context, url, sql string, args ...any) (value T, err error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return value, err
	}
	err = withConnection(ctx, config, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, sql, args...).Scan(&value)
	})
	return value, err
}

func mustQuery[T any](t testing.TB, url, sql string, args ...any) T {
	t.Helper()
	value, err := query[T](t.Context(), url, sql, args...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

func withConnection(ctx context.Context, config *pgx.ConnConfig, do func(*pgx.Conn) error) (err error) {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	return do(conn)
}
