package trunkline_test

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trunkline/trunkline"
	"github.com/trunkline/trunkline/internal/pgtest"
)

// What is tracked can be joined in SQL within 2 s, in a schema of any name, and
// is gone when the server has stopped.
func TestPresenceView(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{"trunkline", "other"} {
		t.Run(schema, func(t *testing.T) {
			t.Parallel()
			srv, stop, db := presenceServer(t, trunkline.Config{Schema: schema})
			page := srv.NewTracked()
			if _, err := page.Track("room:1", "42", object{"device": "phone"}); err != nil {
				t.Fatal(err)
			}
			who := `select key || ' ' || (meta->>'device') || ' ' || node from ` + schema + `.presence where topic = 'room:1'`
			want := []string{"42 phone " + srv.Node()}
			for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(20 * time.Millisecond) {
				got := presenceRows(t, db, who)
				if slices.Equal(got, want) {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("the view has %q, want %q", got, want)
				}
			}
			stop()
			if got := presenceRows(t, db, who); len(got) != 0 {
				t.Errorf("after the stop the view has %q", got)
			}
		})
	}
}

// A server that is told so takes no part in the view.
func TestSkipPresenceView(t *testing.T) {
	t.Parallel()
	skipping, stopSkipping, db := presenceServer(t, trunkline.Config{SkipPresenceView: true})
	defer stopSkipping()
	if _, err := skipping.NewTracked().Track("room:1", "skipped", object{}); err != nil {
		t.Fatal(err)
	}
	showing, stopShowing, _ := presenceServer(t, trunkline.Config{DatabaseURL: db.Config().ConnString()})
	defer stopShowing()
	shown := showing.NewTracked()
	if _, err := shown.Track("room:1", "shown", object{}); err != nil {
		t.Fatal(err)
	}
	const keys = "select key from trunkline.presence"
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		got := presenceRows(t, db, keys)
		if slices.Equal(got, []string{"shown"}) {
			return
		}
		if len(got) > 0 || time.Now().After(deadline) {
			t.Fatalf("the view has %q", got)
		}
	}
}

// presenceServer runs a server, on a database of its own unless c names one.
func presenceServer(t *testing.T, c trunkline.Config) (srv *trunkline.Server, stop func(), db *pgx.Conn) {
	t.Helper()
	if c.DatabaseURL == "" {
		c.DatabaseURL = pgtest.URL(t)
	}
	c.SecretKeyBase = "a test's secret, twenty bytes at least"
	c.Logger = slog.New(slog.DiscardHandler)
	srv, err := trunkline.New(c)
	if err != nil {
		t.Fatal(err)
	}
	_, stop = start(srv)
	db, err = pgx.Connect(t.Context(), c.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close(context.Background()) })
	return srv, stop, db
}

func presenceRows(t *testing.T, db *pgx.Conn, query string) []string {
	t.Helper()
	rows, err := db.Query(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return got
}
