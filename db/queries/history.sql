-- name: EnsureTopics :many
select t.id, t.name, t.head, t.epoch::text as epoch from trunkline.ensure_topics(@names::text[]) t;

-- name: FindTopics :many
select t.id, t.name, t.head, t.epoch::text as epoch from trunkline.topics t where t.name = any(@names::text[]);

-- name: GetHeads :many
select t.id, t.head from trunkline.topics t where t.id = any(@topic_ids::bigint[]);

-- name: AppendBatch :one
select a.statuses::smallint[] as statuses, a.ids::bigint[] as ids, a.inserted_at::timestamptz as inserted_at
from trunkline.append(@topic_ids::bigint[], @events::text[], @payloads::text[], @keys::text[], @refers::bigint[], @wait::boolean) a;

-- name: AppendPlain :one
select a.bases::bigint[] as bases, a.inserted_at::timestamptz as inserted_at
from trunkline.append_plain(@topic_ids::bigint[], @counts::bigint[], @places::integer[], @nths::integer[], @events::text[], @payloads::text[], @wait::boolean) a;

-- name: AppendOne :many
-- append_plain for one message: no function, no arrays. No row when there is no
-- such topic, or somebody else holds its counter.
with held as (
    select t.id from trunkline.topics t where t.id = @topic_id::bigint for no key update skip locked
), counted as (
    update trunkline.topics t set head = t.head + 1 from held where t.id = held.id returning t.head
)
insert into trunkline.messages (topic_id, id, inserted_at, event, payload)
select @topic_id::bigint, counted.head, clock_timestamp(), @event::text, @payload::text from counted
returning id, inserted_at;

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
select p.place::bigint as place, p.head::bigint as head, p.oldest::bigint as oldest, coalesce(p.id, 0)::bigint as id,
       coalesce(p.event, '')::text as event, coalesce(p.payload, '')::text as payload, coalesce(p.refers_to, 0)::bigint as refers_to,
       coalesce(p.deleted, false)::boolean as deleted, p.inserted_at::timestamptz as inserted_at
from trunkline.read_after(@topic_ids::bigint[], @afters::bigint[], @limits::integer[], @max_counts::bigint[], @max_bytes::bigint) p;

-- name: ReadBefore :many
select p.head::bigint as head, p.oldest::bigint as oldest, coalesce(p.id, 0)::bigint as id,
       coalesce(p.event, '')::text as event, coalesce(p.payload, '')::text as payload, coalesce(p.refers_to, 0)::bigint as refers_to,
       coalesce(p.deleted, false)::boolean as deleted, p.inserted_at::timestamptz as inserted_at
from trunkline.read_before(@topic_id::bigint, @before::bigint, @max_rows::integer, @max_count::bigint, @max_bytes::bigint) p;

-- name: Seen :one
select coalesce(trunkline.seen(@user_id::text, @topic_id::bigint, @id::bigint, @at_most::bigint), 0)::bigint;

-- name: Unread :many
select u.name::text as name, u.unread::bigint as unread
from trunkline.unread(@user_id::text, @names::text[], @at_most::bigint) u;

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
