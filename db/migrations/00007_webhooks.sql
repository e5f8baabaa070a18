-- +goose Up

-- Posts an event to an endpoint that the nodes' configuration names, when the
-- calling transaction commits, and returns the id of the job that does it. It
-- runs as its owner, so that an application's role needs no more than usage of
-- the schema.
--
-- The job is the one that Server.Webhook inserts, and the notification is
-- River's, so that a node starts at once.
-- +goose StatementBegin
create function trunkline.webhook(endpoint text, type text, payload jsonb)
returns bigint language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    job bigint;
begin
    if octet_length(endpoint) between 1 and 100 is not true then
        raise exception 'endpoint is % bytes; must be 1 to 100', coalesce(octet_length(endpoint)::text, 'null')
            using errcode = 'invalid_parameter_value';
    elsif octet_length(type) between 1 and 255 is not true then
        raise exception 'type is % bytes; must be 1 to 255', coalesce(octet_length(type)::text, 'null')
            using errcode = 'invalid_parameter_value';
    elsif octet_length(payload::text) between 1 and 1048576 is not true then
        raise exception 'payload is % bytes; must be at most 1048576', coalesce(octet_length(payload::text)::text, 'null')
            using errcode = 'invalid_parameter_value';
    end if;
    insert into trunkline.river_job (kind, queue, max_attempts, args)
    values ('trunkline_webhook', 'webhooks', 10, jsonb_build_object(
        'id', 'msg_' || replace(gen_random_uuid()::text, '-', ''),
        'endpoint', endpoint, 'type', type, 'created_at', now(), 'payload', payload))
    returning id into job;
    perform pg_notify('trunkline.river_insert', '{"queue": "webhooks"}');
    return job;
end
$$;
-- +goose StatementEnd

-- +goose Down
drop function trunkline.webhook(text, text, jsonb);
