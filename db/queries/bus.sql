-- name: Notify :exec
-- One statement, so the payloads stay adjacent and in order.
select pg_notify(unnest(@channels::text[]), unnest(@payloads::text[]));

-- name: InsertSpillAndNotify :exec
-- One statement, so one transaction and one round trip: whoever hears of an id
-- finds its row.
with spilled as (
    insert into trunkline.spill (id, body)
    select unnest(@ids::uuid[]), unnest(@bodies::bytea[])
)
select pg_notify(unnest(@channels::text[]), unnest(@payloads::text[]));

-- name: GetSpill :one
select body from trunkline.spill where id = $1;

-- name: ExpireSpill :execrows
-- Bounded, and passing over rows that another node is deleting, so that many
-- nodes may sweep at once.
delete from trunkline.spill
where id in (
    select id from trunkline.spill
    where inserted_at < now() - make_interval(secs => @older_than_seconds)
    order by inserted_at
    limit @at_most
    for update skip locked
);
