-- Not a migration of goose's: run by Go before the numbered files when the
-- schema is missing, and read by sqlc so that it knows the schema.
create schema trunkline;
