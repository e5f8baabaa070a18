package history

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/trunkline/trunkline/internal/dbsqlc"
	"github.com/trunkline/trunkline/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// connect opens a connection that is closed at the end of the test.
func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// storeOn returns a store on a connection of its own.
func storeOn(t testing.TB, url string) *store {
	t.Helper()
	return newStore(standardSchema(t), connect(t, url), nil)
}

func standardSchema(t testing.TB) *dbsqlc.Schema {
	t.Helper()
	schema, err := dbsqlc.NewSchema("")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// exec runs a statement.
func exec(t testing.TB, db dbsqlc.DBTX, sql string, args ...any) {
	t.Helper()
	if _, err := db.Exec(context.Background(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// ask returns the one value of a query.
func ask[T any](t testing.TB, db dbsqlc.DBTX, sql string, args ...any) T {
	t.Helper()
	var v T
	if err := db.QueryRow(context.Background(), sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}
