-- Takes $5 requests and $6 tokens from the budget of $1 and model $2, whose configured limits are $3 and $4; $7: as a
-- backfill, behind all others; $8: seconds in which the answer must come. Promises: what is granted to all callers together keeps within the rates.
select granted as "granted!",
    wait as "wait!",
    in_outage as "in_outage!",
    current_epoch as "epoch!",
    coalesce(requests_from, 0) as "requests_from!",
    coalesce(requests_until, 0) as "requests_until!",
    coalesce(tokens_from, 0) as "tokens_from!",
    coalesce(tokens_until, 0) as "tokens_until!"
from orion_ingest.reserve_budget($1, $2, $3, $4, $5, $6, $7, $8)
