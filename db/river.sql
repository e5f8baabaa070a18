-- River's table of jobs, as far as db/queries reads it. River's own migrations
-- make it (db/migrations/river.go), so this file is sqlc's alone.
create table trunkline.river_job (
    id           bigint      not null primary key,
    state        text        not null,
    queue        text        not null,
    scheduled_at timestamptz not null
);
