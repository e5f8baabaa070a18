-- name: ReserveReply :many
-- No row when the key is taken; waits for who is about to take it.
insert into trunkline.job_replies (topic, requester, key, node)
values (@topic::text, @requester::text, @key::text, @node::text)
on conflict (topic, requester, key) do nothing
returning id;

-- name: SetReplyJob :exec
update trunkline.job_replies set job_id = @job_id::bigint where id = @id::bigint;

-- name: AskAgain :many
-- The repeat of a push.
update trunkline.job_replies set node = @node::text, moved = moved or node <> @node::text
where topic = @topic::text and requester = @requester::text and key = @key::text
returning id, coalesce(status, '')::text as status, coalesce(response, '')::text as response;

-- name: WhereToAnswer :many
select topic, key, node, answered_at is not null as answered from trunkline.job_replies where id = @id::bigint;

-- name: AnswerReply :many
-- The first answer counts.
update trunkline.job_replies set status = @status::text, response = @response::text, answered_at = clock_timestamp()
where id = @id::bigint and answered_at is null
returning topic, node, moved;

-- name: MarkDelivered :exec
update trunkline.job_replies set delivered_at = clock_timestamp()
where id = any(@ids::bigint[]) and delivered_at is null;

-- name: AnswersOf :many
-- What was answered of the replies that clients of a node wait for.
select id, status::text as status, response::text as response from trunkline.job_replies
where id = any(@ids::bigint[]) and answered_at is not null;

-- name: TakeLeftAnswers :many
-- Answers that nobody was there to take, for those who came instead.
update trunkline.job_replies set delivered_at = clock_timestamp()
where id = any(@ids::bigint[]) and delivered_at is null
  and answered_at < clock_timestamp() - make_interval(secs => @after_seconds::float8)
returning id, status::text as status, response::text as response;

-- name: ClaimNamed :many
-- What clients that rejoin say they wait for; number is the place in the arrays.
with claims as (
    select unnest(@topics::text[]) as topic, unnest(@requesters::text[]) as requester, unnest(@keys::text[]) as key,
           unnest(@numbers::integer[]) as number
)
update trunkline.job_replies r set node = @node::text, moved = r.moved or r.node <> @node::text
from claims c
where r.topic = c.topic and r.requester = c.requester and r.key = c.key
returning c.number::integer as number, r.id, r.key, coalesce(r.status, '')::text as status, coalesce(r.response, '')::text as response;

-- name: Unclaimed :many
-- What may be left of earlier connections of those who join.
select c.number::integer as number, r.id, r.key
from (
    select unnest(@topics::text[]) as topic, unnest(@requesters::text[]) as requester, unnest(@numbers::integer[]) as number
) as c
join trunkline.job_replies r on r.topic = c.topic and r.requester = c.requester
where r.delivered_at is null
order by r.id
limit @at_most::integer;

-- name: LostJobs :many
-- Unanswered, and the job has ended, or is gone, without an answer: it was
-- cancelled or deleted while it waited, or discarded by the rescuer.
select r.id from trunkline.job_replies r
left join trunkline.river_job j on j.id = r.job_id
where r.answered_at is null and (j.id is null or j.state in ('cancelled', 'completed', 'discarded'))
limit @at_most::integer;

-- name: ExpireReplies :execrows
delete from trunkline.job_replies where id = any(array(
    select r.id from trunkline.job_replies r
    where r.answered_at < clock_timestamp() - make_interval(secs => @older_than_seconds::float8)
    limit @at_most::integer));

-- name: QueueDepths :many
select queue, state::text as state, count(*)::bigint as jobs from trunkline.river_job
where state in ('available', 'discarded', 'retryable', 'running', 'scheduled')
group by queue, state;

-- name: ConnectionLimits :one
select max_connections::integer as max_connections, used::integer as used from trunkline.connection_limits();

-- name: ReturnAnswers :exec
-- Taken for clients that were gone by then.
update trunkline.job_replies set delivered_at = null where id = any(@ids::bigint[]);
