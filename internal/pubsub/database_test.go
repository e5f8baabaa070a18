package pubsub

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/trunkline/trunkline/db/migrations"
)

// database returns the URL of a migrated database of the test's own.
func database(t testing.TB) string {
	t.Helper()
	ctx := context.Background()
	const server = "postgres://postgres@127.0.0.1:55677/"
	conn, err := pgx.Connect(ctx, server+"postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	name := fmt.Sprintf("t%d", rand.Uint32())
	if _, err := conn.Exec(ctx, "create database "+name); err != nil {
		t.Fatal(err)
	}
	if err := migrations.Up(ctx, server+name, ""); err != nil {
		t.Fatal(err)
	}
	return server + name
}
