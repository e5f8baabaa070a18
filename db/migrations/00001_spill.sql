-- +goose Up

-- Bodies of bus messages that are too large for one notification. Receivers
-- fetch a row once, by id, within seconds; senders delete rows after a minute.
-- Unlogged: the messages are ephemeral, and without WAL the insert costs no flush.
create unlogged table trunkline.spill (
    id          uuid        not null primary key,
    body        bytea       not null,
    inserted_at timestamptz not null default now()
) with (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 500,
    toast.autovacuum_vacuum_scale_factor = 0,
    toast.autovacuum_vacuum_threshold = 5000
);

-- A body lives too briefly to be worth compressing.
alter table trunkline.spill alter column body set storage external;

create index spill_inserted_at on trunkline.spill (inserted_at);

-- +goose Down
drop table trunkline.spill;
