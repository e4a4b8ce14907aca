-- The re-embedding under way and how far it is. What it cost is what was booked for its two models since it was planned.
select r.phase as "phase!",
    a.model as "active_model!",
    a.dimensions as "active_dimensions!",
    r.model as "next_model!",
    r.dimensions as "next_dimensions!",
    r.rows_planned,
    r.rows_done as "rows_done!",
    (select count(*) from orion_ingest.reembedding_skips k where k.target = r.target) as "rows_skipped!",
    slices.left as "slices_left!",
    slices.held as "slices_held!",
    extract(epoch from now() - r.started_at)::float8 as "seconds!",
    spent.tokens as "tokens!",
    spent.cost_usd as "cost_usd!",
    r.bytes_before as "bytes_before!",
    r.bytes_peak as "bytes_peak!",
    pg_total_relation_size('public.document_chunks') as "bytes!"
from orion_ingest.reembeddings r
join orion_ingest.active_models a on a.target = r.target
cross join lateral (
    select count(*) as left, count(*) filter (where s.lease_token is not null and s.due_at > now()) as held
    from orion_ingest.reembedding_slices s
    where s.target = r.target
) slices
cross join lateral (
    select coalesce(sum(l.tokens_used), 0)::bigint as tokens, coalesce(sum(l.cost_usd), 0)::float8 as cost_usd
    from public.usage_logs l
    where l.action = 'reembedding' and l.created_at >= r.started_at
) spent
where r.target = 'chunks'
