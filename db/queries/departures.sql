-- name: BeginStays :one
insert into trunkline.presence_leases default values returning incarnation;

-- name: WriteStays :one
select trunkline.write_stays(
    @life::uuid, @batch::bigint, @came::bigint[], @topics::text[], @keys::text[], @graces::float8[], @came_ago::float8[],
    @went::bigint[], @went_ago::float8[])::boolean;

-- name: EndStays :one
select trunkline.end_stays(@life::uuid)::bigint;

-- name: EndLostStays :one
select trunkline.end_stays(null)::bigint;

-- name: SettleStays :many
select topic::text as topic, key::text as key, online_at::timestamptz as online_at, left_at::timestamptz as left_at
from trunkline.settle_stays(@topics::text[], @prefixes::text[], @at_most::integer) as s(topic, key, online_at, left_at);
