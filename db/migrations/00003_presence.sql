-- +goose Up

-- Lives of nodes in the view presence. A life that was not renewed in time is
-- over for good: its node begins another one. Unlogged, as are its members: what
-- a crash takes away is written anew.
create unlogged table trunkline.presence_nodes (
    incarnation uuid        not null primary key default gen_random_uuid(),
    node        text        not null,
    beat_at     timestamptz not null default clock_timestamp()
) with (fillfactor = 10);

-- Who is tracked on a node. A row is written by its node only, until the life is over.
create unlogged table trunkline.presence_members (
    incarnation uuid        not null,
    number      bigint      not null,
    topic       text        not null,
    key         text        not null,
    meta        jsonb,
    online_at   timestamptz not null,
    primary key (incarnation, number)
) with (
    fillfactor = 85, -- updates change no index
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.05,
    autovacuum_analyze_threshold = 1000
);

create index presence_members_topic_key on trunkline.presence_members (topic, key);

-- Whether a life goes on. Inlined into the calling query.
-- +goose StatementBegin
create function trunkline.presence_goes_on(beat_at timestamptz) returns boolean
language sql stable as $$
    select beat_at > statement_timestamp() - interval '15 seconds'
$$;
-- +goose StatementEnd

-- Null for the few JSON texts that jsonb cannot hold, such as those with \u0000:
-- one of them must not fail the batch.
-- +goose StatementBegin
create function trunkline.presence_meta(meta text) returns jsonb
language plpgsql immutable as $$
begin
    return meta::jsonb;
exception when data_exception or program_limit_exceeded then
    return null;
end
$$;
-- +goose StatementEnd

-- Deletes the members of lives that are over, at most so many, then the lives.
-- Returns how many members. Does nothing while another session does it.
-- +goose StatementBegin
create function trunkline.expire_presences(at_most integer) returns bigint
language plpgsql as $$
declare
    dead    uuid[];
    deleted bigint;
begin
    if not pg_try_advisory_xact_lock(hashtextextended('trunkline presence', 0)) then
        return 0;
    end if;
    -- The locks keep out a node that writes late, so that no row is left behind.
    select array_agg(l.incarnation) into dead
    from (select n.incarnation from trunkline.presence_nodes n
          where not trunkline.presence_goes_on(n.beat_at) for update skip locked) as l;
    if dead is null then
        return 0;
    end if;
    delete from trunkline.presence_members
    where ctid = any(array(
        select m.ctid from trunkline.presence_members m where m.incarnation = any(dead) limit at_most));
    get diagnostics deleted = row_count;
    if deleted < at_most then
        delete from trunkline.presence_nodes where incarnation = any(dead);
    end if;
    return deleted;
end
$$;
-- +goose StatementEnd

-- Who is where, on all nodes, at most a few seconds old. meta is null where
-- jsonb cannot hold it. Not on a standby: unlogged tables cannot be read there.
create view trunkline.presence as
select m.topic, m.key, m.meta, n.node, m.online_at
from trunkline.presence_members m
join trunkline.presence_nodes n on n.incarnation = m.incarnation
where trunkline.presence_goes_on(n.beat_at);

-- +goose Down
drop view trunkline.presence;
drop function trunkline.expire_presences(integer);
drop function trunkline.presence_meta(text);
drop function trunkline.presence_goes_on(timestamptz);
drop table trunkline.presence_members;
drop table trunkline.presence_nodes;
