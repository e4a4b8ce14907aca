-- The numbers of `status` that are one row: the queue's age, the last hour, the spend, the active model.
select queue.due_files as "due_files!",
    queue.oldest_due_seconds,
    done.completed_last_hour as "completed_last_hour!",
    done.chunks_last_hour as "chunks_last_hour!",
    spend.tokens_today as "tokens_today!",
    spend.cost_usd_today as "cost_usd_today!",
    spend.cost_usd_month as "cost_usd_month!",
    uncertain.tokens as "uncertain_tokens!",
    active.model as "model!",
    active.dimensions as "dimensions!"
from (
    select count(*) as due_files,
        extract(epoch from now() - min(due_at))::float8 as oldest_due_seconds
    from files
    where processing_status in ('pending', 'processing') and due_at <= now()
) queue
cross join (
    select count(*) as completed_last_hour,
        coalesce(sum(chunk_count), 0)::bigint as chunks_last_hour
    from files
    where processing_status = 'completed' and processed_at > now() - interval '1 hour'
) done
cross join (
    select coalesce(sum(tokens_used) filter (where created_at >= date_trunc('day', now(), 'utc')), 0)::bigint as tokens_today,
        coalesce(sum(cost_usd) filter (where created_at >= date_trunc('day', now(), 'utc')), 0)::float8 as cost_usd_today,
        coalesce(sum(cost_usd), 0)::float8 as cost_usd_month
    from usage_logs
    where action in ('embedding', 'reembedding') and created_at >= date_trunc('month', now(), 'utc')
) spend
cross join (
    select coalesce(sum(tokens), 0)::bigint as tokens
    from orion_ingest.embedding_requests
    where state = 'uncertain'
) uncertain
cross join active_embedding_model() active
