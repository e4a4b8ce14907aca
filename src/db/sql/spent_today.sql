-- Dollars that embedding may have cost this UTC day at $1 dollars per million tokens, and the seconds left of the day.
-- Requests in flight, here and elsewhere, count as if they will be billed.
with day as materialized (
    select date_trunc('day', now(), 'UTC') as began_at
)
select
    (
        coalesce((
            select sum(l.cost_usd)
            from public.usage_logs l
            where l.action in ('embedding', 'reembedding') and l.created_at >= day.began_at
        ), 0) + coalesce((
            select sum(r.tokens)
            from orion_ingest.embedding_requests r
            where r.state = 'uncertain' and r.sent_at >= day.began_at
        ), 0) * $1::float8::numeric / 1000000
    )::float8 as "usd!",
    extract(epoch from day.began_at + interval '1 day' - now())::float8 as "seconds_left!"
from day
