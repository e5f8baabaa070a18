-- +goose Up

-- append for messages without keys and references: nothing has to be looked up,
-- and who calls has counted already, so it takes about two thirds of the time.
-- topic_ids are distinct and ascending, counts how many messages each gets; of a
-- message, place is its topic's in topic_ids, and nth its number among the
-- topic's, from 1. bases are the heads before, so a message's id is its topic's
-- base plus nth; -3 and -4 instead of one are the statuses 3 and 4 of append.
-- +goose StatementBegin
create function trunkline.append_plain(
    topic_ids bigint[], counts bigint[], places integer[], nths integer[], events text[], payloads text[], wait boolean,
    out bases bigint[], out inserted_at timestamptz)
language plpgsql
set jit = off set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
    held  bigint[]; -- the topics whose counters are ours, ascending
    spots tid[];    -- where their rows are, which stays so while they are locked
    moved bigint;
begin
    -- As in append, a statement of its own.
    if wait then
        select array_agg(l.id), array_agg(l.head), array_agg(l.ctid) into held, bases, spots
        from (select t.id, t.head, t.ctid from trunkline.topics t where t.id = any(topic_ids) order by t.id for no key update) as l;
    else
        select array_agg(l.id), array_agg(l.head), array_agg(l.ctid) into held, bases, spots
        from (select t.id, t.head, t.ctid from trunkline.topics t where t.id = any(topic_ids) order by t.id for no key update skip locked) as l;
    end if;
    inserted_at := clock_timestamp();
    if held is distinct from topic_ids then
        select array_agg(coalesce(bases[array_position(held, u.id)],
                                  case when exists (select from trunkline.topics t where t.id = u.id) then -3 else -4 end) order by u.n)
        into bases from unnest(topic_ids) with ordinality as u(id, n);
    end if;

    update trunkline.topics t set head = t.head + counts[width_bucket(t.id, topic_ids)] where t.ctid = any(spots);
    get diagnostics moved = row_count;
    if moved <> coalesce(cardinality(spots), 0) then
        raise 'append_plain: % of % counters found', moved, cardinality(spots);
    end if;

    insert into trunkline.messages (topic_id, id, inserted_at, event, payload)
    select topic_ids[u.place], bases[u.place] + u.nth, append_plain.inserted_at, u.event, u.payload
    from unnest(places, nths, events, payloads) as u(place, nth, event, payload)
    where bases[u.place] >= 0;
end
$$;
-- +goose StatementEnd

-- +goose Down
drop function trunkline.append_plain(bigint[], bigint[], integer[], integer[], text[], text[], boolean);
