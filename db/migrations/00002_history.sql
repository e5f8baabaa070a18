-- +goose Up

-- A topic's counter. The row is written by append only, and updates change no
-- index, so that they stay within their page.
create table trunkline.topics (
    id    bigint generated always as identity primary key,
    name  text   not null unique,
    head  bigint not null default 0, -- the newest id
    epoch uuid   not null default gen_random_uuid()
) with (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0.02
);

-- The uniqueness of (topic_id, id) itself is the counter's work: a key of a
-- partitioned table has to hold the partitioning column.
create table trunkline.messages (
    topic_id    bigint      not null,
    id          bigint      not null,
    inserted_at timestamptz not null,
    refers_to   bigint,                         -- of edits: the message they change
    deleted     boolean     not null default false,
    event       text        not null,
    payload     text        not null,           -- without the id; of edits the new payload
    primary key (topic_id, id, inserted_at)
) partition by range (inserted_at);

create index messages_refers_to on trunkline.messages (topic_id, refers_to) where refers_to is not null;

-- Takes what no other partition does, so that publishing works when nobody has
-- made partitions.
create table trunkline.messages_default partition of trunkline.messages default;

-- What SQL transactions published and the relay has not moved yet.
create table trunkline.outbox (
    id        bigint generated always as identity primary key,
    topic     text    not null,
    event     text    not null,
    payload   text    not null,
    key       text,
    refers_to bigint,
    ephemeral boolean not null default false
) with (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 2000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 10000
);

-- A row lives too briefly to be worth compressing.
alter table trunkline.outbox alter column payload set storage external;

-- Idempotency keys.
create table trunkline.message_keys (
    topic_id    bigint      not null,
    key         text        not null,
    message_id  bigint      not null,
    inserted_at timestamptz not null,
    primary key (topic_id, key)
);

create index message_keys_inserted_at on trunkline.message_keys (inserted_at);

-- How far users have read.
create table trunkline.read_cursors (
    topic_id bigint      not null,
    user_id  text        not null,
    last_id  bigint      not null,
    seen_at  timestamptz not null default now(),
    primary key (topic_id, user_id)
) with (fillfactor = 80);

-- The patterns of the configuration, as far as SQL functions need them. The
-- first that matches a topic applies.
create table trunkline.durable_topics (
    pattern   text     not null primary key,
    position  integer  not null,
    id_key    text     not null,
    max_age   interval,
    max_count bigint
);

-- Which database this is: see generation().
create table trunkline.installation (
    one        boolean not null primary key default true check (one),
    identity   text    not null,
    generation bigint  not null
);

-- Until when the relay polls the outbox by itself and needs no doorbell.
create unlogged table trunkline.relay (
    one         boolean     not null primary key default true check (one),
    awake_until timestamptz not null
) with (fillfactor = 10);

-- The pattern that applies to a topic. Inlined into the calling query.
-- +goose StatementBegin
create function trunkline.pattern_of(topic text) returns setof trunkline.durable_topics
language sql stable as $$
    select d.* from trunkline.durable_topics d
    where d.pattern = topic or right(d.pattern, 1) = '*' and starts_with(topic, left(d.pattern, -1))
    order by d.position
    limit 1
$$;
-- +goose StatementEnd

-- Creates the topics that are missing. All insert in the order of names, so
-- that two of them wait for each other and do not deadlock.
-- +goose StatementBegin
create function trunkline.ensure_topics(names text[]) returns setof trunkline.topics
language plpgsql as $$
begin
    insert into trunkline.topics (name)
    select distinct n.name collate "C" from unnest(names) as n(name)
    where not exists (select from trunkline.topics t where t.name = n.name)
    order by 1
    on conflict (name) do nothing;

    return query select t.* from trunkline.topics t where t.name = any(names);
end
$$;
-- +goose StatementEnd

-- The settings of this and other functions: planning anew for each length of
-- arrays, or compiling what the planner overestimates, takes longer than all else.
--
-- Numbers and stores a batch: the one place where ids are given out. Arrays are
-- in the order of publishing. keys and refers may be null; in them '' and 0 mean
-- the same as null.
-- Statuses, by position: 0 stored, 1 duplicate (the id is the first one's),
-- 2 the message referred to was not found, 3 the topic is locked by another
-- session (only without wait), 4 no such topic.
-- +goose StatementBegin
create function trunkline.append(
    topic_ids bigint[], events text[], payloads text[], keys text[], refers bigint[], wait boolean,
    out statuses smallint[], out ids bigint[], out inserted_at timestamptz)
language plpgsql set jit = off set plan_cache_mode = force_generic_plan as $$
declare
    held  bigint[]; -- the topics whose counters are ours, ascending
    heads bigint[]; -- theirs
    n     bigint;
begin
    -- A statement of its own: the following ones' snapshots have to see what was
    -- committed by those we waited for.
    if wait then
        select array_agg(l.id), array_agg(l.head) into held, heads
        from (select t.id, t.head from trunkline.topics t where t.id = any(topic_ids) order by t.id for no key update) as l;
    else
        select array_agg(l.id), array_agg(l.head) into held, heads
        from (select t.id, t.head from trunkline.topics t where t.id = any(topic_ids) order by t.id for no key update skip locked) as l;
    end if;
    inserted_at := clock_timestamp();
    statuses := array_fill(0::smallint, array[cardinality(topic_ids)]);

    -- Lateral with a limit: a lookup by index each, whatever the planner thinks
    -- of a table that it has not analyzed yet.
    if cardinality(keys) > 0 then
        for n in
            select i.n
            from (select u.topic_id, u.key, u.n, row_number() over (partition by u.topic_id, u.key order by u.n) as nth
                  from unnest(topic_ids, keys) with ordinality as u(topic_id, key, n)
                  where u.key <> '') as i
            left join lateral (select true as found from trunkline.message_keys k
                               where k.topic_id = i.topic_id and k.key = i.key limit 1) as k on true
            where i.nth > 1 or k.found
        loop
            statuses[n] := 1;
        end loop;
    end if;

    if cardinality(refers) > 0 then
        for n in
            select i.n
            from (select u.topic_id, u.refers_to, u.n,
                         min(u.n) filter (where u.event = 'message_deleted') over (partition by u.topic_id, u.refers_to) as deletion
                  from unnest(topic_ids, events, refers) with ordinality as u(topic_id, event, refers_to, n)
                  where u.refers_to <> 0) as i
            left join lateral (select true as found from trunkline.messages m
                               where m.topic_id = i.topic_id and m.id = i.refers_to and m.refers_to is null and not m.deleted
                               limit 1) as m on true
            where i.n > i.deletion or m.found is null
        loop
            statuses[n] := 2;
        end loop;
    end if;

    -- width_bucket finds a topic's place in held by bisection: no join, of which
    -- a cached plan would not know that it is as large as the batch.
    select array_agg(i.id order by i.n) into ids
    from (select p.n, case when p.put then heads[p.place] + count(*) filter (where p.put)
                                           over (partition by p.topic_id order by p.n rows unbounded preceding)
                      else 0 end as id
          from (select u.n, u.topic_id, h.place, coalesce(held[h.place] = u.topic_id and statuses[u.n] = 0, false) as put
                from unnest(topic_ids) with ordinality as u(topic_id, n)
                cross join lateral (select width_bucket(u.topic_id, held) as place offset 0) as h) as p) as i;

    update trunkline.topics t set head = c.head
    from (select u.topic_id, max(u.id) as head from unnest(topic_ids, ids) as u(topic_id, id) where u.id > 0 group by u.topic_id) as c
    where t.id = c.topic_id;

    insert into trunkline.messages (topic_id, id, inserted_at, refers_to, event, payload)
    select u.topic_id, u.id, append.inserted_at, nullif(u.refers_to, 0), u.event, u.payload
    from unnest(topic_ids, ids, refers, events, payloads) as u(topic_id, id, refers_to, event, payload)
    where u.id > 0;

    if cardinality(keys) > 0 then
        insert into trunkline.message_keys (topic_id, key, message_id, inserted_at)
        select u.topic_id, u.key, u.id, append.inserted_at
        from unnest(topic_ids, ids, keys) as u(topic_id, id, key)
        where u.id > 0 and u.key <> '';
    end if;
    if cardinality(refers) > 0 then
        perform trunkline.apply_edits(topic_ids, events, payloads, refers, ids);
    end if;

    if 0 = any(ids) then
        select array_agg(case
                   when held[width_bucket(u.topic_id, held)] = u.topic_id then statuses[u.n]
                   when exists (select from trunkline.topics t where t.id = u.topic_id) then 3
                   else 4
               end::smallint order by u.n),
               array_agg(case when statuses[u.n] = 1 then coalesce(k.message_id, 0) else ids[u.n] end order by u.n)
        into statuses, ids
        from unnest(topic_ids, keys) with ordinality as u(topic_id, key, n)
        left join lateral (select k.message_id from trunkline.message_keys k
                           where held[width_bucket(u.topic_id, held)] = u.topic_id and k.topic_id = u.topic_id and k.key = u.key
                           limit 1) as k on true;
    end if;
end
$$;
-- +goose StatementEnd

-- Brings the stored messages up to date with the edits that append has stored
-- under the ids.
-- +goose StatementBegin
create function trunkline.apply_edits(topic_ids bigint[], events text[], payloads text[], refers bigint[], ids bigint[])
returns void language plpgsql as $$
declare
    e record;
begin
    for e in
        select u.topic_id, u.event, u.payload, u.refers_to
        from unnest(topic_ids, events, payloads, refers, ids) as u(topic_id, event, payload, refers_to, id)
        where u.refers_to <> 0 and u.id > 0
        order by u.id
    loop
        if e.event = 'message_updated' then
            update trunkline.messages m set payload = e.payload
            where m.topic_id = e.topic_id and m.id = e.refers_to;
        else
            update trunkline.messages m set payload = '{}', deleted = true
            where m.topic_id = e.topic_id and m.id = e.refers_to;
            -- What it once said must not remain in the stream either.
            update trunkline.messages m set payload = '{}', deleted = true
            where m.topic_id = e.topic_id and m.refers_to = e.refers_to and m.event = 'message_updated';
        end if;
    end loop;
end
$$;
-- +goose StatementEnd

-- Puts a row into the outbox. What calls it has checked what it knows of.
-- +goose StatementBegin
create function trunkline.enqueue(topic text, event text, payload jsonb, key text, refers_to bigint, ephemeral boolean)
returns void language plpgsql as $$
declare
    body text := payload::text;
begin
    if octet_length(topic) between 1 and 512 is not true then
        raise exception 'topic is % bytes; must be 1 to 512', coalesce(octet_length(topic), 0) using errcode = 'invalid_parameter_value';
    elsif octet_length(event) between 1 and 255 is not true then
        raise exception 'event is % bytes; must be 1 to 255', coalesce(octet_length(event), 0) using errcode = 'invalid_parameter_value';
    elsif jsonb_typeof(payload) = 'object' is not true then
        raise exception 'payload is %; must be a JSON object', coalesce('a JSON ' || jsonb_typeof(payload), 'null') using errcode = 'invalid_parameter_value';
    elsif octet_length(body) > 1048576 then
        raise exception 'payload is % bytes; at most 1048576 are allowed', octet_length(body) using errcode = 'program_limit_exceeded';
    end if;

    -- The transaction's number is taken before the row's: see the relay's floor.
    perform pg_current_xact_id();
    insert into trunkline.outbox (topic, event, payload, key, refers_to, ephemeral)
    values (enqueue.topic, enqueue.event, body, enqueue.key, enqueue.refers_to, enqueue.ephemeral);

    -- A notification makes this transaction's commit wait for every other one
    -- that notifies, so none is sent while the relay looks by itself.
    if not exists (select from trunkline.relay r where r.awake_until > clock_timestamp()) then
        perform pg_notify('trunkline' || '_outbox', '');
    end if;
end
$$;
-- +goose StatementEnd

-- Raises an exception for events that only Trunkline itself sends.
-- +goose StatementBegin
create function trunkline.check_event(event text) returns void language plpgsql as $$
begin
    if starts_with(event, 'phx_') or event in ('message_updated', 'message_deleted') then
        raise exception 'event % is reserved', quote_literal(event) using errcode = 'invalid_parameter_value';
    end if;
end
$$;
-- +goose StatementEnd

-- Raises an exception for payloads that have the key of the message's id.
-- +goose StatementBegin
create function trunkline.check_id_key(topic text, payload jsonb) returns void language plpgsql as $$
declare
    id_key text := coalesce((select p.id_key from trunkline.pattern_of(topic) p), 'id');
begin
    if payload ? id_key then
        raise exception 'payload has the key %, which is reserved for the message id', quote_literal(id_key)
            using errcode = 'invalid_parameter_value';
    end if;
end
$$;
-- +goose StatementEnd

-- Publishes a durable message when the calling transaction commits. A message
-- whose key was used before in the topic, within a day, is dropped.
--
-- This and the following functions run as their owner, so that an application's
-- role needs no more than usage of the schema.
-- +goose StatementBegin
create function trunkline.publish(topic text, event text, payload jsonb, key text default null)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if octet_length(key) between 1 and 255 is false then
        raise exception 'key is % bytes; must be 1 to 255', octet_length(key) using errcode = 'invalid_parameter_value';
    end if;
    perform trunkline.check_event(event);
    perform trunkline.check_id_key(topic, payload);
    perform trunkline.enqueue(topic, event, payload, key, null, false);
end
$$;
-- +goose StatementEnd

-- Gives a stored message a new payload when the calling transaction commits.
-- Where there is no such message then, nothing happens.
-- +goose StatementBegin
create function trunkline.update_message(topic text, id bigint, payload jsonb)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if id >= 1 is not true then
        raise exception 'message id is %; must be 1 or more', coalesce(id::text, 'null') using errcode = 'invalid_parameter_value';
    end if;
    perform trunkline.check_id_key(topic, payload);
    perform trunkline.enqueue(topic, 'message_updated', payload, null, id, false);
end
$$;
-- +goose StatementEnd

-- Deletes a stored message when the calling transaction commits. Where there is
-- no such message then, nothing happens.
-- +goose StatementBegin
create function trunkline.delete_message(topic text, id bigint)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if id >= 1 is not true then
        raise exception 'message id is %; must be 1 or more', coalesce(id::text, 'null') using errcode = 'invalid_parameter_value';
    end if;
    perform trunkline.enqueue(topic, 'message_deleted', '{}', null, id, false);
end
$$;
-- +goose StatementEnd

-- Sends an ephemeral message, at most once, when the calling transaction commits.
-- +goose StatementBegin
create function trunkline.broadcast(topic text, event text, payload jsonb)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform trunkline.check_event(event);
    perform trunkline.enqueue(topic, event, payload, null, null, true);
end
$$;
-- +goose StatementEnd

-- Publishes the changes of a table's rows:
--
--   create trigger publish_changes after insert or update or delete on orders
--   for each row execute function trunkline.publish_changes('order:', 'id');
--
-- The topic is the first argument followed by the value of the column that the
-- second one names; without a second one, the first alone. A row whose column is
-- null is not published; one that changes it is published to both topics.
-- +goose StatementBegin
create function trunkline.publish_changes() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    old_row jsonb := to_jsonb(old);
    new_row jsonb := to_jsonb(new);
    topics  text[];
    topic   text;
begin
    if tg_when <> 'AFTER' or tg_level <> 'ROW' then
        raise exception 'trigger % must be an AFTER trigger FOR EACH ROW', quote_ident(tg_name) using errcode = 'invalid_parameter_value';
    elsif tg_nargs = 1 then
        topics := array[tg_argv[0]];
    elsif tg_nargs <> 2 then
        raise exception 'trigger % passes % arguments; must be a topic''s beginning and the name of a column', quote_ident(tg_name), tg_nargs
            using errcode = 'invalid_parameter_value';
    elsif not coalesce(new_row, old_row) ? tg_argv[1] then
        raise exception 'trigger % names the column %, which table % does not have', quote_ident(tg_name), quote_ident(tg_argv[1]), tg_relid::regclass
            using errcode = 'undefined_column';
    else
        topics := array(
            select distinct tg_argv[0] || changed.value
            from (values (old_row ->> tg_argv[1]), (new_row ->> tg_argv[1])) as changed(value)
            where changed.value is not null);
    end if;
    foreach topic in array topics loop
        perform trunkline.publish(topic, lower(tg_op), jsonb_build_object('record', new_row, 'old_record', old_row));
    end loop;
    return null;
end
$$;
-- +goose StatementEnd

-- Moves the oldest rows of the outbox with ids above after into the streams, in
-- one transaction with their numbering, and returns them in the outbox's order:
-- at most max_rows, and no more once they hold max_bytes. Statuses are append's.
-- +goose StatementBegin
create function trunkline.drain(after bigint, max_rows integer, max_bytes bigint)
returns table (outbox_id bigint, topic text, topic_id bigint, ephemeral boolean, status smallint, id bigint, event text, payload text, refers_to bigint, inserted_at timestamptz)
language plpgsql set jit = off set plan_cache_mode = force_generic_plan as $$
declare
    taken      trunkline.outbox[];
    taken_ids  bigint[];
    outbox_ids bigint[]; -- of the durable ones, as the following
    topic_ids  bigint[];
    events     text[];
    payloads   text[];
    keys       text[];
    refers     bigint[];
    missing    boolean;
    appended   record;
begin
    -- Rows that another session is draining are waited for, not skipped:
    -- skipping them would change the order.
    select array_agg(s.taken order by s.id), array_agg(s.id order by s.id) into taken, taken_ids
    from (select l.id, l.taken, sum(l.size) over (order by l.id) - l.size as before
          from (select o.id, o as taken, octet_length(o.payload) as size
                from trunkline.outbox o where o.id > drain.after order by o.id limit max_rows for update) as l) as s
    where s.before < max_bytes;
    if taken is null then
        return;
    end if;
    delete from trunkline.outbox o where o.id = any(taken_ids);

    loop
        select array_agg(r.id order by r.id), array_agg(t.id order by r.id),
               array_agg(r.event order by r.id), array_agg(r.payload order by r.id),
               case when count(r.key) > 0 then array_agg(r.key order by r.id) end,
               case when count(r.refers_to) > 0 then array_agg(r.refers_to order by r.id) end,
               bool_or(t.id is null)
        into outbox_ids, topic_ids, events, payloads, keys, refers, missing
        from unnest(taken) as r left join trunkline.topics t on t.name = r.topic
        where not r.ephemeral;
        exit when missing is not true;
        perform trunkline.ensure_topics(array(select r.topic from unnest(taken) as r where not r.ephemeral));
    end loop;

    select * into appended from trunkline.append(coalesce(topic_ids, '{}'), events, payloads, keys, refers, true);

    return query
    select r.id, r.topic, a.topic_id, r.ephemeral, a.status, a.id, r.event, r.payload, r.refers_to, appended.inserted_at
    from unnest(taken) as r
    left join unnest(outbox_ids, topic_ids, appended.statuses, appended.ids) as a(outbox_id, topic_id, status, id) on a.outbox_id = r.id
    order by r.id;
end
$$;
-- +goose StatementEnd

-- Pages of many topics, ascending, each of at most max_bytes of payloads but at
-- least one message. place is the topic's in the arrays. A topic that exists has
-- one row at least, with id null where it has no message.
-- +goose StatementBegin
create function trunkline.read_after(topic_ids bigint[], afters bigint[], limits integer[], max_counts bigint[], max_bytes bigint)
returns table (place bigint, head bigint, oldest bigint, id bigint, event text, payload text, refers_to bigint, deleted boolean, inserted_at timestamptz)
language plpgsql stable set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
begin
    return query
    select r.place, t.head, coalesce(o.id, t.head + 1), m.id, m.event, m.payload, m.refers_to, m.deleted, m.inserted_at
    from unnest(topic_ids, afters, limits, max_counts) with ordinality as r(topic_id, after, max_rows, max_count, place)
    join trunkline.topics t on t.id = r.topic_id
    cross join lateral (select t.head - nullif(r.max_count, 0) as id) as lost
    left join lateral (
        select f.id from trunkline.messages f
        where f.topic_id = t.id and f.id > coalesce(lost.id, 0)
        order by f.id limit 1
    ) as o on true
    left join lateral (
        select s.* from (
            select p.*, octet_length(p.payload) as size, sum(octet_length(p.payload)) over (order by p.id rows unbounded preceding) as total
            from (
                select x.id, x.event, x.payload, x.refers_to, x.deleted, x.inserted_at from trunkline.messages x
                where x.topic_id = t.id and x.id > greatest(r.after, lost.id)
                order by x.id limit r.max_rows
            ) as p
        ) as s
        where s.total <= max_bytes or s.total = s.size
    ) as m on true
    order by r.place, m.id;
end
$$;
-- +goose StatementEnd

-- A page of one topic, descending, from before the id given; else as above.
-- +goose StatementBegin
create function trunkline.read_before(of_topic bigint, before bigint, max_rows integer, max_count bigint, max_bytes bigint)
returns table (head bigint, oldest bigint, id bigint, event text, payload text, refers_to bigint, deleted boolean, inserted_at timestamptz)
language plpgsql stable set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
begin
    return query
    select t.head, coalesce(o.id, t.head + 1), m.id, m.event, m.payload, m.refers_to, m.deleted, m.inserted_at
    from trunkline.topics t
    cross join lateral (select t.head - nullif(max_count, 0) as id) as lost
    left join lateral (
        select f.id from trunkline.messages f
        where f.topic_id = t.id and f.id > coalesce(lost.id, 0)
        order by f.id limit 1
    ) as o on true
    left join lateral (
        select s.* from (
            select p.*, octet_length(p.payload) as size, sum(octet_length(p.payload)) over (order by p.id desc rows unbounded preceding) as total
            from (
                select x.id, x.event, x.payload, x.refers_to, x.deleted, x.inserted_at from trunkline.messages x
                where x.topic_id = t.id and x.id > coalesce(lost.id, 0) and x.id < before
                order by x.id desc limit max_rows
            ) as p
        ) as s
        where s.total <= max_bytes or s.total = s.size
    ) as m on true
    where t.id = of_topic
    order by m.id desc;
end
$$;
-- +goose StatementEnd

-- How many messages of the topics the user has not read, each counted up to
-- at_most. Edits and deleted messages do not count.
-- +goose StatementBegin
create function trunkline.unread(reader text, names text[], at_most bigint)
returns table (name text, unread bigint)
language plpgsql stable set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
begin
    return query
    select t.name, u.unread
    from trunkline.topics t
    left join trunkline.read_cursors c on c.topic_id = t.id and c.user_id = reader
    left join lateral trunkline.pattern_of(t.name) p on true
    cross join lateral (
        select count(*) as unread from (
            select from trunkline.messages m
            where m.topic_id = t.id and m.id > greatest(0, c.last_id, t.head - p.max_count)
              and m.refers_to is null and not m.deleted
            limit at_most
        ) as counted
    ) as u
    where t.name = any(names);
end
$$;
-- +goose StatementEnd

-- Notes that the user has read the topic up to the id, not less than before and
-- not more than there is, and returns what is unread, as above; null where there
-- is no such topic.
-- +goose StatementBegin
create function trunkline.seen(reader text, of_topic bigint, upto bigint, at_most bigint) returns bigint
language plpgsql as $$
declare
    topic_name text;
begin
    insert into trunkline.read_cursors as c (topic_id, user_id, last_id)
    select t.id, reader, least(upto, t.head) from trunkline.topics t where t.id = of_topic
    on conflict (topic_id, user_id) do update set last_id = excluded.last_id, seen_at = excluded.seen_at
    where c.last_id < excluded.last_id;
    select t.name into topic_name from trunkline.topics t where t.id = of_topic;
    return (select u.unread from trunkline.unread(reader, array[topic_name], at_most) u);
end
$$;
-- +goose StatementEnd

-- A number that rises when this database is found to be another one than the
-- last time: another server or timeline, or tables made anew. Seconds, so that
-- two restorations of one backup do not get the same.
-- +goose StatementBegin
create function trunkline.current_generation() returns bigint
language plpgsql as $$
declare
    found_identity text := concat_ws('/',
        (select s.system_identifier from pg_control_system() s),
        left(pg_walfile_name(pg_current_wal_lsn()), 8),
        (select d.oid from pg_database d where d.datname = current_database()),
        'trunkline.topics'::regclass::oid);
begin
    insert into trunkline.installation as i (identity, generation)
    values (found_identity, extract(epoch from clock_timestamp())::bigint)
    on conflict (one) do update
        set identity = excluded.identity, generation = greatest(excluded.generation, i.generation + 1)
        where i.identity <> excluded.identity;
    return (select i.generation from trunkline.installation i);
end
$$;
-- +goose StatementEnd

-- Replaces the patterns.
-- +goose StatementBegin
create function trunkline.register_patterns(patterns text[], id_keys text[], max_ages interval[], max_counts bigint[])
returns void language plpgsql as $$
begin
    lock table trunkline.durable_topics in share row exclusive mode; -- nodes start at once
    delete from trunkline.durable_topics d where d.pattern <> all(patterns);
    insert into trunkline.durable_topics as d (pattern, position, id_key, max_age, max_count)
    select p.pattern, p.position, p.id_key, p.max_age, p.max_count
    from unnest(patterns, id_keys, max_ages, max_counts) with ordinality as p(pattern, id_key, max_age, max_count, position)
    on conflict (pattern) do update
        set position = excluded.position, id_key = excluded.id_key, max_age = excluded.max_age, max_count = excluded.max_count
        where (d.position, d.id_key, d.max_age, d.max_count)
              is distinct from (excluded.position, excluded.id_key, excluded.max_age, excluded.max_count);
end
$$;
-- +goose StatementEnd

-- The partitions of messages but the default one. The settings are those in
-- which their bounds can be read back.
-- +goose StatementBegin
create function trunkline.partitions() returns table (name text, lower_bound timestamptz, upper_bound timestamptz)
language sql stable set datestyle = 'ISO' set timezone = 'UTC' as $$
    select c.relname::text,
           substring(b.bounds from $re$FROM \('([^']+)'\)$re$)::timestamptz,
           substring(b.bounds from $re$TO \('([^']+)'\)$re$)::timestamptz
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    cross join lateral (select pg_get_expr(c.relpartbound, c.oid) as bounds) as b
    where i.inhparent = 'trunkline.messages'::regclass and b.bounds <> 'DEFAULT'
$$;
-- +goose StatementEnd

-- Only one session at a time looks after the partitions; false to the others.
-- +goose StatementBegin
create function trunkline.maintains() returns boolean language sql volatile as $$
    select pg_try_advisory_xact_lock(hashtextextended('trunkline maintenance', 0))
$$;
-- +goose StatementEnd

-- Makes the next partition of messages, so that there are some for the time of
-- ahead partitions after the current one, and returns its name; null when all
-- are there or somebody else is at it. Partitions begin at multiples of the
-- width, which may differ from that of earlier ones.
--
-- patience is for how many milliseconds to wait for a lock: no longer than
-- everybody else may wait, since who comes later queues behind it.
-- +goose StatementBegin
create function trunkline.make_partition(width interval, ahead integer, patience integer) returns text
language plpgsql as $$
declare
    seconds bigint := extract(epoch from width)::bigint;
    now_at  timestamptz := clock_timestamp();
    current timestamptz := to_timestamp(extract(epoch from now_at)::bigint / seconds * seconds);
    start   timestamptz;
    stop    timestamptz;
    name    text;
begin
    if not trunkline.maintains() then
        return null;
    end if;
    select max(p.upper_bound) into start from trunkline.partitions() p;
    if start is null or start < now_at then
        start := greatest(start, current);
        -- What the default partition took stays there.
        if exists (select from trunkline.messages_default m where m.inserted_at >= start) then
            start := current + width;
        end if;
    end if;
    if start > current + width * ahead then
        return null;
    end if;
    stop := to_timestamp((extract(epoch from start)::bigint / seconds + 1) * seconds);
    name := 'messages_' || to_char(start at time zone 'UTC', 'YYYYMMDD"t"HH24MISS');
    perform set_config('lock_timeout', patience::text, true);
    -- Not "create table partition of", which would lock out readers and writers
    -- of the whole table.
    execute format('create table trunkline.%I (like trunkline.messages including defaults including storage)', name);
    execute format('alter table trunkline.messages attach partition trunkline.%I for values from (%L) to (%L)', name, start, stop);
    return name;
end
$$;
-- +goose StatementEnd

-- Drops the oldest partition if all of it is older than the time given, and
-- returns its name; null when there is none or somebody else is at it. patience
-- is as above.
-- +goose StatementBegin
create function trunkline.drop_partition(before timestamptz, patience integer) returns text
language plpgsql as $$
declare
    name text;
begin
    if not trunkline.maintains() then
        return null;
    end if;
    select p.name into name from trunkline.partitions() p where p.upper_bound <= before order by p.upper_bound limit 1;
    if name is not null then
        perform set_config('lock_timeout', patience::text, true);
        execute format('drop table trunkline.%I', name);
    end if;
    return name;
end
$$;
-- +goose StatementEnd

-- Deletes what the patterns do not keep, of up to max_topics topics after
-- after_topic, at most max_rows rows. Patterns whose maximal age is above
-- age_below are left to drop_partition; null leaves none. last_topic is where to
-- go on, null at the end or when somebody else is at it.
-- +goose StatementBegin
create function trunkline.trim_topics(after_topic bigint, max_topics integer, max_rows integer, age_below interval,
    out last_topic bigint, out deleted bigint)
language plpgsql as $$
begin
    deleted := 0;
    if not trunkline.maintains() then
        return;
    end if;
    select max(n.id) into last_topic
    from (select t.id from trunkline.topics t where t.id > after_topic order by t.id limit max_topics) as n;

    -- The oldest message tells whether there is anything to do for a topic, so
    -- that no more is read than can be deleted.
    delete from trunkline.messages m
    using (
        select e.topic_id, e.id, e.inserted_at
        from trunkline.topics t
        cross join lateral trunkline.pattern_of(t.name) p
        cross join lateral (
            select t.head - p.max_count as id,
                   case when p.max_age <= coalesce(age_below, p.max_age) then now() - p.max_age end as inserted_at) as keep
        cross join lateral (
            select o.id from (
                select f.id, f.inserted_at from trunkline.messages f where f.topic_id = t.id order by f.id limit 1) as o
            where o.id <= keep.id or o.inserted_at < keep.inserted_at) as oldest
        cross join lateral (
            select d.topic_id, d.id, d.inserted_at from trunkline.messages d
            where d.topic_id = t.id and d.id >= oldest.id and d.id < oldest.id + max_rows
              and (d.id <= keep.id or d.inserted_at < keep.inserted_at)) as e
        where t.id > after_topic and t.id <= last_topic
        limit max_rows
    ) as expired
    where m.topic_id = expired.topic_id and m.id = expired.id and m.inserted_at = expired.inserted_at;
    get diagnostics deleted = row_count;

    if deleted = max_rows then
        last_topic := after_topic; -- there may be more of these
    end if;
end
$$;
-- +goose StatementEnd

-- +goose Down
drop function trunkline.trim_topics(bigint, integer, integer, interval);
drop function trunkline.drop_partition(timestamptz, integer);
drop function trunkline.make_partition(interval, integer, integer);
drop function trunkline.maintains();
drop function trunkline.partitions();
drop function trunkline.register_patterns(text[], text[], interval[], bigint[]);
drop function trunkline.current_generation();
drop function trunkline.seen(text, bigint, bigint, bigint);
drop function trunkline.unread(text, text[], bigint);
drop function trunkline.read_before(bigint, bigint, integer, bigint, bigint);
drop function trunkline.read_after(bigint[], bigint[], integer[], bigint[], bigint);
drop function trunkline.drain(bigint, integer, bigint);
drop function trunkline.publish_changes() cascade; -- with the triggers of applications
drop function trunkline.broadcast(text, text, jsonb);
drop function trunkline.delete_message(text, bigint);
drop function trunkline.update_message(text, bigint, jsonb);
drop function trunkline.publish(text, text, jsonb, text);
drop function trunkline.check_id_key(text, jsonb);
drop function trunkline.check_event(text);
drop function trunkline.enqueue(text, text, jsonb, text, bigint, boolean);
drop function trunkline.apply_edits(bigint[], text[], text[], bigint[], bigint[]);
drop function trunkline.append(bigint[], text[], text[], text[], bigint[], boolean);
drop function trunkline.ensure_topics(text[]);
drop function trunkline.pattern_of(text);
drop table trunkline.relay, trunkline.installation, trunkline.durable_topics, trunkline.read_cursors,
    trunkline.message_keys, trunkline.outbox, trunkline.messages, trunkline.topics;
