-- name: BeginPresence :one
insert into trunkline.presence_nodes (node) values (@node::text) returning incarnation;

-- name: WritePresences :one
-- False, and nothing is done, when the life is over. The lock holds off
-- expire_presences until the rows are there.
with life as materialized (
    select n.incarnation from trunkline.presence_nodes n
    where n.incarnation = @incarnation::uuid and trunkline.presence_goes_on(n.beat_at)
    for key share
), deleted as (
    delete from trunkline.presence_members m
    using life where m.incarnation = life.incarnation and m.number = any(@gone::bigint[])
), written as (
    insert into trunkline.presence_members (incarnation, number, topic, key, meta, online_at)
    select life.incarnation, u.number, u.topic, u.key, trunkline.presence_meta(u.meta), u.online_at
    from life cross join (
        select unnest(@numbers::bigint[]) as number, unnest(@topics::text[]) as topic, unnest(@keys::text[]) as key,
               unnest(@metas::text[]) as meta, unnest(@online_ats::timestamptz[]) as online_at
    ) as u
    on conflict (incarnation, number) do update set meta = excluded.meta
)
select exists (select from life)::boolean as goes_on;

-- name: BeatPresence :execrows
update trunkline.presence_nodes set beat_at = clock_timestamp()
where incarnation = @incarnation::uuid and trunkline.presence_goes_on(beat_at);

-- name: EndPresence :exec
update trunkline.presence_nodes set beat_at = '-infinity' where incarnation = @incarnation::uuid;

-- name: ExpirePresences :one
select trunkline.expire_presences(@at_most::integer)::bigint;
