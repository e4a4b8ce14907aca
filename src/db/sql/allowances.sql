-- What the users $1 may still spend this UTC month: tokens and dollars, each null where no quota is set. An operator's
-- re-embedding is charged to nobody's quota.
select
    p.id as "user!",
    (p.monthly_token_quota - used.tokens)::bigint as tokens,
    (p.monthly_cost_quota_usd - used.cost_usd)::float8 as cost_usd
from public.user_profiles p
cross join lateral (
    select coalesce(sum(l.tokens_used), 0) as tokens, coalesce(sum(l.cost_usd), 0) as cost_usd
    from public.usage_logs l
    where l.user_id = p.id and l.created_at >= date_trunc('month', now(), 'UTC') and l.action is distinct from 'reembedding'
) as used
where p.id = any($1) and (p.monthly_token_quota is not null or p.monthly_cost_quota_usd is not null)
