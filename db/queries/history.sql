-- name: EnsureTopics :many
select t.id, t.name, t.head, t.epoch::text as epoch from trunkline.ensure_topics(@names::text[]) t;

-- name: FindTopics :many
select t.id, t.name, t.head, t.epoch::text as epoch from trunkline.topics t where t.name = any(@names::text[]);

-- name: GetHeads :many
select t.id, t.head from trunkline.topics t where t.id = any(@topic_ids::bigint[]);

-- name: AppendBatch :one
select a.statuses::smallint[] as statuses, a.ids::bigint[] as ids, a.inserted_at::timestamptz as inserted_at
from trunkline.append(@topic_ids::bigint[], @events::text[], @payloads::text[], @keys::text[], @refers::bigint[], @wait::boolean) a;

-- name: Drain :many
select d.outbox_id::bigint as outbox_id, d.topic::text as topic, d.ephemeral::boolean as ephemeral, d.event::text as event, d.payload::text as payload,
       coalesce(d.topic_id, 0)::bigint as topic_id, coalesce(d.status, 0)::smallint as status,
       coalesce(d.id, 0)::bigint as id, coalesce(d.refers_to, 0)::bigint as refers_to, d.inserted_at::timestamptz as inserted_at
from trunkline.drain(@after::bigint, @max_rows::integer, @max_bytes::bigint) d;

-- name: Transactions :one
-- Transactions with numbers below oldest have ended; next is the first unused
-- number.
select pg_snapshot_xmin(s)::text::bigint as oldest, pg_snapshot_xmax(s)::text::bigint as next from pg_current_snapshot() s;

-- name: ReadAfter :many
-- One row at least for each topic that exists; with id 0 where it has no message.
select r.n::integer as n, t.head, coalesce(o.id, t.head + 1)::bigint as oldest,
       coalesce(m.id, 0)::bigint as id, coalesce(m.event, '')::text as event, coalesce(m.payload, '')::text as payload,
       coalesce(m.refers_to, 0)::bigint as refers_to, coalesce(m.deleted, false)::boolean as deleted, m.inserted_at
from (
    select generate_subscripts(@topic_ids::bigint[], 1) as n, unnest(@topic_ids::bigint[]) as topic_id,
           unnest(@afters::bigint[]) as after, unnest(@limits::integer[]) as max_rows, unnest(@max_counts::bigint[]) as max_count
) as r
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
    where s.total <= @max_bytes::bigint or s.total = s.size
) as m on true
order by r.n, m.id;

-- name: ReadBefore :many
-- As ReadAfter, of one topic, descending.
select t.head, coalesce(o.id, t.head + 1)::bigint as oldest,
       coalesce(m.id, 0)::bigint as id, coalesce(m.event, '')::text as event, coalesce(m.payload, '')::text as payload,
       coalesce(m.refers_to, 0)::bigint as refers_to, coalesce(m.deleted, false)::boolean as deleted, m.inserted_at
from trunkline.topics t
cross join lateral (select t.head - nullif(@max_count::bigint, 0) as id) as lost
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
            where x.topic_id = t.id and x.id > coalesce(lost.id, 0) and x.id < @before::bigint
            order by x.id desc limit @max_rows::integer
        ) as p
    ) as s
    where s.total <= @max_bytes::bigint or s.total = s.size
) as m on true
where t.id = @topic_id
order by m.id desc;

-- name: Seen :one
with noted as (
    insert into trunkline.read_cursors as c (topic_id, user_id, last_id)
    select t.id, @user_id::text, least(@id::bigint, t.head) from trunkline.topics t where t.id = @topic_id
    on conflict (topic_id, user_id) do update set last_id = excluded.last_id, seen_at = excluded.seen_at
    where c.last_id < excluded.last_id
)
select u.unread
from trunkline.topics t
left join trunkline.read_cursors c on c.topic_id = t.id and c.user_id = @user_id
left join lateral trunkline.pattern_of(t.name) p on true
cross join lateral (
    select count(*) as unread from (
        select from trunkline.messages m
        where m.topic_id = t.id and m.id > greatest(least(@id, t.head), c.last_id, t.head - p.max_count)
          and m.refers_to is null and not m.deleted
        limit @at_most::bigint
    ) as counted
) as u
where t.id = @topic_id;

-- name: Unread :many
select t.name, u.unread
from trunkline.topics t
left join trunkline.read_cursors c on c.topic_id = t.id and c.user_id = @user_id
left join lateral trunkline.pattern_of(t.name) p on true
cross join lateral (
    select count(*) as unread from (
        select from trunkline.messages m
        where m.topic_id = t.id and m.id > greatest(0, c.last_id, t.head - p.max_count)
          and m.refers_to is null and not m.deleted
        limit @at_most::bigint
    ) as counted
) as u
where t.name = any(@names::text[]);

-- name: CurrentGeneration :one
select trunkline.current_generation()::bigint;

-- name: RegisterPatterns :exec
-- Ages in seconds; 0 is none, as in counts.
select trunkline.register_patterns(@patterns::text[], @id_keys::text[],
    array(select make_interval(secs => nullif(a.age, 0)) from unnest(@max_ages::double precision[]) with ordinality as a(age, n) order by a.n),
    array(select nullif(c.count, 0) from unnest(@max_counts::bigint[]) with ordinality as c(count, n) order by c.n));

-- name: Publish :exec
select trunkline.publish(@topic::text, @event::text, (@payload::text)::jsonb, nullif(@key::text, ''));

-- name: TryLead :one
-- Whether this session is now the one whose relay works.
select pg_try_advisory_lock(hashtextextended('trunkline relay', 0))::boolean;

-- name: StayAwake :exec
-- For the time given publishers ring no doorbell; 0 makes them ring from now on.
insert into trunkline.relay (awake_until) values (clock_timestamp() + make_interval(secs => @seconds::double precision))
on conflict (one) do update set awake_until = excluded.awake_until;

-- name: MakePartition :one
select coalesce(trunkline.make_partition(make_interval(secs => @width_seconds::double precision), @ahead::integer, @patience::integer), '')::text;

-- name: DropPartition :one
select coalesce(trunkline.drop_partition(clock_timestamp() - make_interval(secs => @older_than_seconds::double precision), @patience::integer), '')::text;

-- name: ExpireDefaultPartition :execrows
delete from trunkline.messages_default
where ctid = any(array(
    select d.ctid from trunkline.messages_default d
    where d.inserted_at < clock_timestamp() - make_interval(secs => @older_than_seconds::double precision)
    limit @at_most
));

-- name: TrimTopics :one
select coalesce(r.last_topic, 0)::bigint as last_topic, r.deleted::bigint as deleted
from trunkline.trim_topics(@after_topic::bigint, @max_topics::integer, @max_rows::integer,
    make_interval(secs => nullif(@age_below_seconds::double precision, 0))) r;

-- name: ExpireKeys :execrows
delete from trunkline.message_keys
where (topic_id, key) in (
    select k.topic_id, k.key from trunkline.message_keys k
    where k.inserted_at < clock_timestamp() - make_interval(secs => @older_than_seconds::double precision)
    order by k.inserted_at
    limit @at_most
    for update skip locked
);
