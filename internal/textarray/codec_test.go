package textarray

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"pgregory.net/rapid"

	"github.com/trunkline/trunkline/internal/pgtest"
)

// A text[] is encoded as pgx does it itself.
func TestTextArrayAsPgx(t *testing.T) {
	t.Parallel()
	usual, quick := pgtype.NewMap(), pgtype.NewMap()
	Register(quick)
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.SliceOf(rapid.String()).Draw(t, "texts")
		before := rapid.SliceOf(rapid.Byte()).Draw(t, "before")
		for _, format := range []int16{pgtype.BinaryFormatCode, pgtype.TextFormatCode} {
			want, err := usual.Encode(pgtype.TextArrayOID, format, texts, slices.Clone(before))
			if err != nil {
				t.Fatal(err)
			}
			got, err := quick.Encode(pgtype.TextArrayOID, format, texts, slices.Clone(before))
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("format %d: %q, %v, want %q", format, got, err, want)
			}
		}
	})
	if got, err := quick.Encode(pgtype.TextArrayOID, pgtype.BinaryFormatCode, []string(nil), nil); got != nil || err != nil {
		t.Errorf("nil: %q, %v", got, err)
	}
}

// A connection with the codec sends and reads arrays.
func TestTextArrayInPostgres(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), pgtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }() // it was only read from
	Register(conn.TypeMap())
	for _, texts := range [][]string{{}, {""}, {"a", `"{}\`, "é😀"}} {
		var got []string
		if err := conn.QueryRow(t.Context(), "select $1::text[]", texts).Scan(&got); err != nil || !slices.Equal(got, texts) {
			t.Errorf("%q came back as %q, %v", texts, got, err)
		}
	}
	var null bool
	if err := conn.QueryRow(t.Context(), "select $1::text[] is null", []string(nil)).Scan(&null); err != nil || !null {
		t.Errorf("nil is not null: %v", err)
	}
}

func TestMain(m *testing.M) { pgtest.Main(m) }
