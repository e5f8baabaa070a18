-- +goose Up

-- Lives of nodes whose departures are delivered. A life that was not renewed in
-- time is over for good, and its node begins another one. Logged, as its stays
-- are: a departure survives a crash.
create table trunkline.presence_leases (
    incarnation uuid        not null primary key default gen_random_uuid(),
    batch       bigint      not null default 0, -- the last that was written
    beat_at     timestamptz not null default clock_timestamp()
) with (fillfactor = 10);

-- Who is in a topic on a node, from the first meta of a key to the last, and
-- then until it is settled whether that was a departure.
create table trunkline.presence_stays (
    incarnation uuid        not null,
    number      bigint      not null,
    topic       text        not null,
    key         text        not null,
    grace       interval    not null,
    online_at   timestamptz not null,
    left_at     timestamptz,
    settle_at   timestamptz, -- when its grace has ended, and others have written who came meanwhile
    primary key (incarnation, number)
) with (
    autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_threshold = 1000
);

create index presence_stays_topic_key on trunkline.presence_stays (topic, key);
create index presence_stays_settle_at on trunkline.presence_stays (settle_at) where settle_at is not null;

-- Whether a life goes on. Inlined into the calling query.
-- +goose StatementBegin
create function trunkline.presence_lease_holds(beat_at timestamptz) returns boolean
language sql stable as $$
    select beat_at > statement_timestamp() - interval '12 seconds'
$$;
-- +goose StatementEnd

-- Writes who came and who left on a node, so many seconds ago (clocks of nodes
-- differ), and renews its life. A batch that was written already is not written
-- again. False, and nothing is done, when the life is over.
-- +goose StatementBegin
create function trunkline.write_stays(
    life uuid, this_batch bigint, came bigint[], topics text[], keys text[], graces float8[], came_ago float8[],
    went bigint[], went_ago float8[]) returns boolean
language plpgsql as $$
declare
    written bigint;
    present timestamptz;
begin
    select l.batch into written from trunkline.presence_leases l
    where l.incarnation = life and trunkline.presence_lease_holds(l.beat_at)
    for no key update;
    if not found then
        return false;
    end if;
    present := clock_timestamp();
    if written < this_batch then
        insert into trunkline.presence_stays (incarnation, number, topic, key, grace, online_at)
        select life, c.number, c.topic, c.key, make_interval(secs => c.grace), present - make_interval(secs => c.ago)
        from unnest(came, topics, keys, graces, came_ago) as c(number, topic, key, grace, ago);

        update trunkline.presence_stays s
        set left_at = present - make_interval(secs => w.ago),
            settle_at = present - make_interval(secs => w.ago) + s.grace + interval '1 second'
        from unnest(went, went_ago) as w(number, ago)
        where s.incarnation = life and s.number = w.number and s.left_at is null;
    end if;
    update trunkline.presence_leases l set batch = greatest(l.batch, this_batch), beat_at = present
    where l.incarnation = life;
    return true;
end
$$;
-- +goose StatementEnd

-- Ends lives: the given one, or those that were not renewed. All that stayed there have left.
-- +goose StatementBegin
create function trunkline.end_stays(life uuid) returns bigint
language plpgsql as $$
declare
    ended uuid[];
    gone  bigint;
begin
    -- The locks keep out a node that writes late.
    select array_agg(l.incarnation) into ended
    from (select l.incarnation from trunkline.presence_leases l
          where case when life is null then not trunkline.presence_lease_holds(l.beat_at) else l.incarnation = life end
          for update skip locked) as l;
    if ended is null then
        return 0;
    end if;
    update trunkline.presence_stays s
    set left_at = clock_timestamp(), settle_at = clock_timestamp() + s.grace + interval '1 second'
    where s.incarnation = any(ended) and s.left_at is null;
    get diagnostics gone = row_count;
    delete from trunkline.presence_leases where incarnation = any(ended);
    return gone;
end
$$;
-- +goose StatementEnd

-- Deletes stays that have ended, at most so many, and returns the departures
-- among them: those that no other stay of the same key outlasts or, within the
-- grace, follows. Only of the given topics and prefixes of topics. Nothing while
-- another session does it. The caller acts on them in its transaction.
-- +goose StatementBegin
create function trunkline.settle_stays(topics text[], prefixes text[], at_most integer)
returns table (topic text, key text, online_at timestamptz, left_at timestamptz)
language plpgsql as $$
declare
    due timestamptz := clock_timestamp();
begin
    if not pg_try_advisory_xact_lock(hashtextextended('trunkline departures', 0)) then
        return;
    end if;
    return query
    with ended as materialized (
        select s.incarnation, s.number from trunkline.presence_stays s
        where s.settle_at <= due
          and (s.topic = any(topics) or exists (select from unnest(prefixes) as p(prefix) where starts_with(s.topic, p.prefix)))
        order by s.settle_at
        limit at_most
    ), deleted as (
        delete from trunkline.presence_stays s using ended e
        where s.incarnation = e.incarnation and s.number = e.number
        returning s.*
    )
    select d.topic, d.key, d.online_at, d.left_at
    from deleted d
    where not exists (
        select from trunkline.presence_stays o -- as before the deletion
        where o.topic = d.topic and o.key = d.key
          and o.online_at <= d.left_at + d.grace
          and (o.left_at is null or (o.left_at, o.incarnation, o.number) > (d.left_at, d.incarnation, d.number)));
end
$$;
-- +goose StatementEnd

-- +goose Down
drop function trunkline.settle_stays(text[], text[], integer);
drop function trunkline.end_stays(uuid);
drop function trunkline.write_stays(uuid, bigint, bigint[], text[], text[], float8[], float8[], bigint[], float8[]);
drop function trunkline.presence_lease_holds(timestamptz);
drop table trunkline.presence_stays;
drop table trunkline.presence_leases;
