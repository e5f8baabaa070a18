package dbsqlc

import (
	"context"
	"fmt"
	"regexp"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// DefaultSchema is the schema that SQL files and queries are written for.
const DefaultSchema = "trunkline"

var (
	schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,47}$`)
	schemaWord = regexp.MustCompile(`\b` + DefaultSchema + `\b`)
)

// A Schema is the Postgres schema that holds all objects of an installation.
// It turns SQL written for trunkline into SQL for the schema of its name. It
// may be shared by goroutines.
type Schema struct {
	name string

	// Statements already rewritten, by their text. Bounded by the number of
	// constants in this package.
	rewritten sync.Map
}

// NewSchema returns the schema of that name, [DefaultSchema] when empty. A
// name is 1 to 48 of the characters a-z, 0-9 and _, the first no digit;
// Postgres's own rules (no keyword, no pg_ prefix) are checked by the
// migrations.
func NewSchema(name string) (*Schema, error) {
	if name == "" {
		name = DefaultSchema
	}
	if !schemaName.MatchString(name) {
		return nil, fmt.Errorf("schema name %q: must be 1 to 48 of the characters a-z, 0-9 and _, and must not start with a digit", name)
	}
	return &Schema{name: name}, nil
}

// Name returns the schema's name.
func (s *Schema) Name() string { return s.name }

// Rewrite returns sql with the word trunkline replaced by the schema's name.
func (s *Schema) Rewrite(sql string) string {
	if s.name == DefaultSchema {
		return sql
	}
	return schemaWord.ReplaceAllLiteralString(sql, s.name)
}

// In returns db such that the statements of this package run against the
// schema. db is a connection, a pool or a transaction. For generated queries
// only: it remembers each statement it has seen.
func (s *Schema) In(db DBTX) DBTX {
	if s.name == DefaultSchema {
		return db
	}
	return &inSchema{db: db, schema: s}
}

type inSchema struct {
	db     DBTX
	schema *Schema
}

func (s *inSchema) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	return s.db.Exec(ctx, s.rewrite(sql), args...)
}

func (s *inSchema) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return s.db.Query(ctx, s.rewrite(sql), args...)
}

func (s *inSchema) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return s.db.QueryRow(ctx, s.rewrite(sql), args...)
}

func (s *inSchema) rewrite(sql string) string {
	if found, ok := s.schema.rewritten.Load(sql); ok {
		return found.(string)
	}
	out := s.schema.Rewrite(sql)
	s.schema.rewritten.Store(sql, out)
	return out
}
