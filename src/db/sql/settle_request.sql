-- Books the answer to request $1, once: its bill by user and file, the users' totals, and the vectors that it brought.
--
-- One statement, so one round trip and one snapshot. A second call for the same request changes nothing. A bill whose
-- user is gone keeps its row without one; vectors of a file that is gone, and those of a query, are not kept. Nor are those
-- of a file that is completed: it was another worker's meanwhile, and nobody would ever delete them.
-- $2 billed tokens; $3 dollars per million tokens; $4, $5, $6 user, file and tokens of each share of the bill;
-- $7, $8, $9, $10 user, file, hash and vector of each input.
with request as (
    update orion_ingest.embedding_requests
    set state = 'settled', billed_tokens = $2, settled_at = now()
    where id = $1 and state <> 'settled'
    returning id, provider, model, dimensions, is_reembedding
),
share as materialized (
    select s.user_id, s.file_id, s.tokens, round(s.tokens * $3::float8::numeric / 1000000, 10) as cost_usd
    from unnest($4::uuid[], $5::uuid[], $6::bigint[]) as s (user_id, file_id, tokens)
),
-- Locked in one order by everybody, else two answers for the same users deadlock.
owner as materialized (
    select p.id
    from public.user_profiles p
    where p.id = any($4::uuid[]) and exists (select from request)
    order by p.id
    for no key update
),
bill as (
    insert into public.usage_logs (user_id, action, provider, model, tokens_used, cost_usd, metadata)
    select o.id, case when r.is_reembedding then 'reembedding' else 'embedding' end, r.provider, r.model, s.tokens, s.cost_usd,
        jsonb_strip_nulls(jsonb_build_object('file_id', s.file_id, 'request_id', r.id))
    from request r
    cross join share s
    left join owner o on o.id = s.user_id
),
-- Held, so that no commit comes in between.
unfinished as materialized (
    select f.id, f.user_id
    from public.files f
    where f.id = any($8::uuid[]) and f.processing_status <> 'completed' and exists (select from request)
        and (select count(*) from owner) >= 0   -- profiles before files, as when an account is deleted
    order by f.id
    for share
),
total as (
    update public.user_profiles p
    set total_tokens_used = p.total_tokens_used + s.tokens, total_cost_usd = p.total_cost_usd + s.cost_usd
    from (select user_id, sum(tokens)::bigint as tokens, sum(cost_usd) as cost_usd from share group by user_id) s
    join owner o on o.id = s.user_id
    where p.id = o.id
)
insert into orion_ingest.stashed_vectors (file_id, user_id, model, dimensions, content_sha256, embedding)
select v.file_id, v.user_id, r.model, r.dimensions, v.content_sha256, v.embedding
from request r
cross join unnest($7::uuid[], $8::uuid[], $9::bytea[], $10::vector[]) as v (user_id, file_id, content_sha256, embedding)
join unfinished f on f.id = v.file_id and f.user_id = v.user_id
on conflict do nothing
