-- +goose Up

-- Pushes that a job answers: who asked, and the answer until its retention
-- ends. A row and its job are inserted in one transaction. A repeat of the push
-- finds its row by the key.
create table trunkline.job_replies (
    id           bigint      generated always as identity primary key,
    topic        text        not null,
    requester    text        not null, -- who may have the answer; '' where connections have no id
    key          text        not null,
    job_id       bigint,               -- null only within the inserting transaction
    node         text        not null, -- where it was asked last
    moved        boolean     not null default false, -- it was asked on several nodes
    status       text,                 -- null until answered
    response     text,                 -- JSON
    created_at   timestamptz not null default now(),
    answered_at  timestamptz,
    delivered_at timestamptz,          -- when a node handed it to a client
    unique (topic, requester, key)
);

create index job_replies_unanswered on trunkline.job_replies (id) where answered_at is null;
create index job_replies_undelivered on trunkline.job_replies (topic, requester) where delivered_at is null;
create index job_replies_answered_at on trunkline.job_replies (answered_at);

-- How many connections this role may have to this database, and how many it
-- and, where they share the limit, others have.
-- +goose StatementBegin
create function trunkline.connection_limits(out max_connections integer, out used integer)
language sql stable as $$
    with bounds as (
        select current_setting('max_connections')::integer
               - current_setting('superuser_reserved_connections')::integer
               - coalesce(current_setting('reserved_connections', true), '0')::integer as bound,
               (select count(*) from pg_stat_activity a where a.backend_type = 'client backend') as used
        union all
        select r.rolconnlimit, (select count(*) from pg_stat_activity a where a.usename = current_user)
        from pg_roles r where r.rolname = current_user and r.rolconnlimit >= 0
        union all
        select d.datconnlimit, (select count(*) from pg_stat_activity a where a.datname = current_database())
        from pg_database d where d.datname = current_database() and d.datconnlimit >= 0
    )
    select bound, used from bounds order by bound - used limit 1
$$;
-- +goose StatementEnd

-- +goose Down
drop function trunkline.connection_limits();
drop table trunkline.job_replies;
