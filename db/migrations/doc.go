// Package migrations creates and updates the database schema: numbered goose
// files, embedded, applied under one lock, so that any number of nodes may
// start at once.
//
// It imports goose, pgx and internal/dbsqlc (for the schema's name).
//
// Invariants:
//   - Everything, goose's own version table included, lives in one schema,
//     which needs no superuser: a role with CREATE on the database makes it, or
//     somebody made it for a role that owns it.
//   - Files are written for the schema trunkline and rewritten on reading; in
//     them the word trunkline always means the schema.
//   - A file that was released is never edited; a change is a new file.
//   - The URL is the direct one: a session lock means nothing behind a
//     transaction pooler.
package migrations
