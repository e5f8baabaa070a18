package migrations

import (
	"context"
	"database/sql"
	"fmt"
)

// minServerVersion is Postgres 14, in the form of server_version_num.
const minServerVersion = 14_00_00

// checkServer refuses a server that is too old and a database that cannot hold
// every text.
func checkServer(ctx context.Context, db *sql.DB) error {
	var version int
	var encoding, database string
	err := db.QueryRowContext(ctx, `
		select current_setting('server_version_num')::int, current_setting('server_encoding'), current_database()`,
	).Scan(&version, &encoding, &database)
	if err != nil {
		return fmt.Errorf("asking the server for its version: %w", err)
	}
	if err := versionError(version); err != nil {
		return err
	}
	if encoding != "UTF8" {
		return fmt.Errorf("database %q has the encoding %s; UTF8 is needed (create database ... encoding 'UTF8' template template0)", database, encoding)
	}
	return nil
}

// versionError takes server_version_num.
func versionError(version int) error {
	if version < minServerVersion {
		return fmt.Errorf("the server is Postgres %d; version 14 or newer is needed", version/10000)
	}
	return nil
}

// ensureSchema creates the schema when it is missing and checks that the role
// may create objects in it. Called under the lock: create schema if not exists
// fails when two sessions run it at once.
func ensureSchema(ctx context.Context, conn *sql.Conn, schema, createSQL string) error {
	var role, database string
	var keyword, exists, mayUse, mayCreate bool
	err := conn.QueryRowContext(ctx, `
		select current_user, current_database(), quote_ident($1) <> $1,
		       n.oid is not null,
		       coalesce(has_schema_privilege(n.oid, 'create') and has_schema_privilege(n.oid, 'usage'), false),
		       has_database_privilege(current_database(), 'create')
		from (values (1)) as one left join pg_namespace n on n.nspname = $1`, schema,
	).Scan(&role, &database, &keyword, &exists, &mayUse, &mayCreate)
	switch {
	case err != nil:
		return fmt.Errorf("looking for the schema: %w", err)
	case keyword:
		return fmt.Errorf("schema name %q is a keyword of Postgres: choose another", schema)
	case exists && mayUse:
		return nil
	case exists:
		return fmt.Errorf("role %q may not create objects in schema %q: run as its owner or a superuser: alter schema %s owner to %q",
			role, schema, schema, role)
	case !mayCreate:
		return fmt.Errorf("schema %q is missing and role %q may not create it: run as the owner of database %q or a superuser: create schema %s authorization %q",
			schema, role, database, schema, role)
	}
	if _, err := conn.ExecContext(ctx, createSQL); err != nil {
		return fmt.Errorf("creating schema %q: %w", schema, err)
	}
	return nil
}

// migrated reports whether goose's version table exists in the schema.
func migrated(ctx context.Context, db *sql.DB, schema string) (bool, error) {
	var found bool
	err := db.QueryRowContext(ctx, "select to_regclass($1) is not null", schema+"."+versionTable).Scan(&found)
	if err != nil {
		return false, fmt.Errorf("looking for the table of versions: %w", err)
	}
	return found, nil
}
