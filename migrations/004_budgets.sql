-- The provider's limits, which every worker on this database shares: a row per provider and model, and what is done to it.
--
-- Requests and tokens are taken before they are sent (GCRA, the "generic cell rate algorithm" of ATM: a theoretical
-- arrival time for each of the two). All that leaves these functions is a number of seconds from now, so that no other
-- machine's clock matters. The epoch of a row counts what makes reservations void: pauses, outages, changed limits.
-- Whoever waits looks at it again before it sends.

set client_min_messages = warning;

create table if not exists orion_ingest.provider_budgets (
    provider text not null,
    model text not null,
    epoch bigint not null default extract(epoch from clock_timestamp()) * 1000,
    requests_at timestamptz not null default '-infinity',
    tokens_at timestamptz not null default '-infinity',
    paused_until timestamptz not null default '-infinity',
    outages integer not null default 0 check (outages >= 0),
    broke_at timestamptz not null default '-infinity',
    probe_at timestamptz not null default '-infinity',
    probe_every double precision not null default 1 check (probe_every between 0 and 30),
    announced_rpm integer check (announced_rpm > 0),
    announced_tpm integer check (announced_tpm > 0),
    learned_rpm double precision check (learned_rpm > 0),
    learned_tpm double precision check (learned_tpm > 0),
    learned_for double precision not null default 0 check (learned_for >= 0),
    pace double precision not null default 1 check (pace > 0),
    paced_at timestamptz not null default clock_timestamp(),
    requests_stock double precision not null default 1 check (requests_stock between 0 and 1),
    tokens_stock double precision not null default 1 check (tokens_stock between 0 and 1),
    heard_at timestamptz not null default clock_timestamp(),
    recent_requests double precision not null default 0,
    recent_tokens double precision not null default 0,
    recent_at timestamptz not null default clock_timestamp(),
    primary key (provider, model)
) with (fillfactor = 50);
comment on table orion_ingest.provider_budgets is 'What may be sent to each provider, and when: shared by all workers. A row that is deleted is made anew.';
comment on column orion_ingest.provider_budgets.provider is 'Host and port of its address.';
comment on column orion_ingest.provider_budgets.model is 'The provider''s name of it.';
comment on column orion_ingest.provider_budgets.epoch is 'Grows with whatever makes reservations void; begins with the time, so that a row made anew is later than the one before.';
comment on column orion_ingest.provider_budgets.requests_at is 'When all requests that are reserved will have been earned.';
comment on column orion_ingest.provider_budgets.tokens_at is 'When all tokens that are reserved will have been earned.';
comment on column orion_ingest.provider_budgets.paused_until is 'Nothing is sent before: the provider asked for it.';
comment on column orion_ingest.provider_budgets.outages is 'How often in succession it failed for all of a request''s tries; 0 while it works.';
comment on column orion_ingest.provider_budgets.broke_at is 'When outages was last raised.';
comment on column orion_ingest.provider_budgets.probe_at is 'During an outage: when the next request may try it.';
comment on column orion_ingest.provider_budgets.probe_every is 'During an outage: seconds from one try to the next.';
comment on column orion_ingest.provider_budgets.announced_rpm is 'Requests per minute by its headers.';
comment on column orion_ingest.provider_budgets.announced_tpm is 'Tokens per minute by its headers.';
comment on column orion_ingest.provider_budgets.learned_rpm is 'Requests per minute, where nobody has told a limit: a part of what was sent when it last said 429.';
comment on column orion_ingest.provider_budgets.learned_tpm is 'As learned_rpm, tokens.';
comment on column orion_ingest.provider_budgets.learned_for is 'Seconds of sending since then, with which the learned rates grow.';
comment on column orion_ingest.provider_budgets.pace is 'Share of the known rates that is used: falls by a part with a 429, grows steadily since paced_at, up to the whole.';
comment on column orion_ingest.provider_budgets.paced_at is 'When the pace last fell.';
comment on column orion_ingest.provider_budgets.requests_stock is 'Share of a safe reserve that the provider''s own bucket of requests held at heard_at, by its headers.';
comment on column orion_ingest.provider_budgets.tokens_stock is 'As requests_stock, tokens.';
comment on column orion_ingest.provider_budgets.heard_at is 'When its headers were last noted.';
comment on column orion_ingest.provider_budgets.recent_requests is 'Requests reserved until recent_at, each counting less by the age of ten seconds.';
comment on column orion_ingest.provider_budgets.recent_tokens is 'As recent_requests, tokens.';
comment on column orion_ingest.provider_budgets.recent_at is 'When requests were last reserved.';

-- ── Arithmetic ───────────────────────────────────────────────────────────────────────────────────────────────────

create or replace function orion_ingest.seconds_between(earlier timestamptz, later timestamptz) returns double precision
language sql immutable set search_path = '' as $$
    select extract(epoch from later - earlier)::double precision
$$;
comment on function orion_ingest.seconds_between(timestamptz, timestamptz) is
    'Negative if the later is not. Neither may be infinite, which PostgreSQL subtracts from 17 on only.';

-- Additive increase, multiplicative decrease (Chiu and Jain, 1989): what finds a fair share without knowing the whole.
create or replace function orion_ingest.pace_at(pace double precision, paced_at timestamptz, at timestamptz) returns double precision
language sql immutable set search_path = '' as $$
    select least(1, pace + 0.01 * greatest(0, orion_ingest.seconds_between(paced_at, at)))
$$;
comment on function orion_ingest.pace_at(double precision, timestamptz, timestamptz) is 'A pace grows by a hundredth a second, up to the whole.';

create or replace function orion_ingest.learned_rate(learned double precision, sent_for double precision) returns double precision
language sql immutable set search_path = '' as $$
    select learned * (1 + 0.01 * sent_for)
$$;
comment on function orion_ingest.learned_rate(double precision, double precision) is
    'What was learned grows by a hundredth of it with each second of sending: idle time teaches nothing.';

create or replace function orion_ingest.budget_rate(
    configured integer, announced integer, learned double precision, pace double precision, stock double precision
) returns double precision
language sql immutable set search_path = '' as $$
    select case
        when configured > 0 or announced is not null
            -- A provider whose bucket runs low is given time to fill it, lest somebody else's use of it earn us a 429.
            then least(nullif(configured, 0), announced) / 60.0 * pace * greatest(0.5, least(1, stock))
        else learned / 60.0
    end
$$;
comment on function orion_ingest.budget_rate(integer, integer, double precision, double precision, double precision) is
    'Units a second; null where no limit is known. Headers only lower what is configured, 0 of which means unknown. Pace and stock are those of known limits.';

-- ── What is done to a budget ─────────────────────────────────────────────────────────────────────────────────────

create or replace function orion_ingest.lock_budget(for_provider text, for_model text) returns orion_ingest.provider_budgets
language plpgsql set search_path = '' as $$
declare
    b orion_ingest.provider_budgets;
begin
    loop
        select * into b from orion_ingest.provider_budgets o
        where o.provider = for_provider and o.model = for_model for no key update;
        exit when found;
        insert into orion_ingest.provider_budgets (provider, model) values (for_provider, for_model) on conflict do nothing;
    end loop;
    return b;
end $$;
comment on function orion_ingest.lock_budget(text, text) is 'The row, made if it is missing, and locked until the transaction ends.';

-- Idle time may be made up for only a little, since providers enforce limits in pieces much smaller than their minute:
-- a fifth of a second of requests (their quantum is a second), two seconds of tokens (a full request at a million a minute).
create or replace function orion_ingest.reserve_budget(
    for_provider text, for_model text, rpm integer, tpm integer, requests integer, tokens bigint, is_backfill boolean,
    answer_within double precision,
    out granted boolean, out wait double precision, out in_outage boolean, out current_epoch bigint,
    out requests_from double precision, out requests_until double precision,
    out tokens_from double precision, out tokens_until double precision
) language plpgsql set search_path = '' as $$
declare
    b orion_ingest.provider_budgets := orion_ingest.lock_budget(for_provider, for_model);
    at timestamptz := clock_timestamp();
    pace double precision;
    heard_for double precision;
    reserved_for double precision;
    fading double precision;
    rate double precision;
    requests_start timestamptz := at;
    tokens_start timestamptz := at;
begin
    in_outage := b.outages > 0;
    current_epoch := b.epoch;
    -- Backfills take what nobody else stands in line for.
    wait := orion_ingest.seconds_between(at, greatest(
        at,
        b.paused_until,
        case when in_outage then b.probe_at end,
        case when is_backfill then greatest(b.requests_at, b.tokens_at) end));
    granted := wait = 0;
    if not granted then
        return;
    end if;

    pace := orion_ingest.pace_at(b.pace, b.paced_at, at);
    heard_for := orion_ingest.seconds_between(b.heard_at, at);
    reserved_for := greatest(0, orion_ingest.seconds_between(b.recent_at, at));
    b.learned_for := b.learned_for + least(1, reserved_for);
    -- PostgreSQL calls what is too near to zero an error.
    fading := exp(-least(60, reserved_for / 10));

    rate := orion_ingest.budget_rate(
        rpm, b.announced_rpm, orion_ingest.learned_rate(b.learned_rpm, b.learned_for), pace, b.requests_stock + heard_for);
    if rate is not null then
        requests_start := greatest(b.requests_at, at - interval '200 milliseconds');
        b.requests_at := requests_start + make_interval(secs => requests / rate);
    end if;
    rate := orion_ingest.budget_rate(
        tpm, b.announced_tpm, orion_ingest.learned_rate(b.learned_tpm, b.learned_for), pace, b.tokens_stock + heard_for / 10);
    if rate is not null then
        tokens_start := greatest(b.tokens_at, at - interval '2 seconds');
        b.tokens_at := tokens_start + make_interval(secs => tokens / rate);
    end if;
    requests_from := orion_ingest.seconds_between(at, requests_start);
    requests_until := orion_ingest.seconds_between(at, greatest(b.requests_at, requests_start));
    tokens_from := orion_ingest.seconds_between(at, tokens_start);
    tokens_until := orion_ingest.seconds_between(at, greatest(b.tokens_at, tokens_start));

    update orion_ingest.provider_budgets o
    set requests_at = b.requests_at,
        tokens_at = b.tokens_at,
        recent_requests = o.recent_requests * fading + requests,
        recent_tokens = o.recent_tokens * fading + tokens,
        recent_at = at,
        learned_for = b.learned_for,
        -- One at a time: the next not before this one must have been answered.
        probe_at = case
            when in_outage then at + make_interval(secs => greatest(o.probe_every, answer_within))
            else o.probe_at
        end
    where o.provider = for_provider and o.model = for_model;
end $$;
comment on function orion_ingest.reserve_budget(text, text, integer, integer, integer, bigint, boolean, double precision) is
    'Takes requests and tokens; in how many seconds they begin and end to be earned, evenly. Not granted: nothing is taken, ask again after so many seconds. rpm and tpm: what the caller has configured, 0 for unknown. In an outage one caller at a time is granted, who sends one request and waits for its answer no longer than answer_within.';

create or replace function orion_ingest.hear_budget(
    for_provider text, for_model text, told_rpm integer, told_tpm integer,
    requests_left double precision, tokens_left double precision
) returns bigint language plpgsql set search_path = '' as $$
declare
    b orion_ingest.provider_budgets := orion_ingest.lock_budget(for_provider, for_model);
    at timestamptz := clock_timestamp();
    is_new boolean := coalesce(told_rpm, b.announced_rpm) is distinct from b.announced_rpm
        or coalesce(told_tpm, b.announced_tpm) is distinct from b.announced_tpm;
begin
    if is_new then
        -- What is reserved is void, so that those who reserve next may have it.
        b.requests_at := least(b.requests_at, at);
        b.tokens_at := least(b.tokens_at, at);
        b.pace := 1;
    end if;
    b.epoch := b.epoch + (is_new or b.outages > 0)::integer;
    update orion_ingest.provider_budgets o
    set announced_rpm = coalesce(told_rpm, o.announced_rpm),
        announced_tpm = coalesce(told_tpm, o.announced_tpm),
        requests_stock = requests_left,
        tokens_stock = tokens_left,
        heard_at = at,
        outages = 0,
        epoch = b.epoch,
        requests_at = b.requests_at,
        tokens_at = b.tokens_at,
        pace = b.pace
    where o.provider = for_provider and o.model = for_model;
    return b.epoch;
end $$;
comment on function orion_ingest.hear_budget(text, text, integer, integer, double precision, double precision) is
    'Notes what an answer said of the limits, and that there was one; the epoch.';

-- A request that is refused although it was in its budget shows that somebody else uses it, or that it is smaller than we
-- think: the pace falls. One that left before it last fell says nothing new, else what is in flight together would count as
-- often as it is large. Its age is how long before this statement came it left: the wait for the row is no part of that.
create or replace function orion_ingest.pause_budget(
    for_provider text, for_model text, rpm integer, tpm integer, pause double precision, is_refusal boolean, age double precision
) returns bigint language plpgsql set search_path = '' as $$
declare
    b orion_ingest.provider_budgets := orion_ingest.lock_budget(for_provider, for_model);
    at timestamptz := clock_timestamp();
    -- From what was counted lately to units a minute.
    recently double precision := exp(-least(60, greatest(0, orion_ingest.seconds_between(b.recent_at, at)) / 10)) * 6;
begin
    if is_refusal and b.paced_at <= statement_timestamp() - make_interval(secs => age) then
        -- Not so low that a full request waits for much more than a minute.
        if rpm = 0 and b.announced_rpm is null then
            b.learned_rpm := greatest(10, 0.7 * coalesce(
                orion_ingest.learned_rate(b.learned_rpm, b.learned_for), b.recent_requests * recently));
        end if;
        if tpm = 0 and b.announced_tpm is null then
            b.learned_tpm := greatest(20000, 0.7 * coalesce(
                orion_ingest.learned_rate(b.learned_tpm, b.learned_for), b.recent_tokens * recently));
        end if;
        b.learned_for := 0;
        b.pace := greatest(0.01, 0.7 * orion_ingest.pace_at(b.pace, b.paced_at, at));
        b.paced_at := at;
    end if;
    b.paused_until := greatest(b.paused_until, at + make_interval(secs => pause));
    update orion_ingest.provider_budgets o
    set paused_until = b.paused_until,
        learned_rpm = b.learned_rpm,
        learned_tpm = b.learned_tpm,
        learned_for = b.learned_for,
        pace = b.pace,
        paced_at = b.paced_at,
        -- Without credit at that moment, requests leave one by one after the pause and not all at once.
        requests_at = b.paused_until,
        tokens_at = b.paused_until,
        epoch = o.epoch + 1
    where o.provider = for_provider and o.model = for_model;
    return b.epoch + 1;
end $$;
comment on function orion_ingest.pause_budget(text, text, integer, integer, double precision, boolean, double precision) is
    'Lets nothing leave for so many seconds, and voids what was reserved; the epoch. A refusal lowers the pace, and where no limit is known it teaches one.';

create or replace function orion_ingest.break_budget(
    for_provider text, for_model text, first_pause double precision, age double precision
) returns bigint language plpgsql set search_path = '' as $$
declare
    b orion_ingest.provider_budgets := orion_ingest.lock_budget(for_provider, for_model);
    at timestamptz := clock_timestamp();
begin
    if b.broke_at <= statement_timestamp() - make_interval(secs => age) then
        b.probe_every := least(30, first_pause * 2 ^ least(b.outages, 20));
        b.epoch := b.epoch + 1;
        update orion_ingest.provider_budgets o
        set outages = o.outages + 1,
            broke_at = at,
            probe_every = b.probe_every,
            probe_at = at + make_interval(secs => b.probe_every),
            epoch = b.epoch
        where o.provider = for_provider and o.model = for_model;
    end if;
    return b.epoch;
end $$;
comment on function orion_ingest.break_budget(text, text, double precision, double precision) is
    'Notes that a request failed for all its tries: from now on one at a time is sent, after a pause that doubles up to half a minute; the epoch. One that last left before the outage was noted says nothing new; age is as in pause_budget.';

-- ── Rights ───────────────────────────────────────────────────────────────────────────────────────────────────────

revoke all on orion_ingest.provider_budgets from public, anon, authenticated;
revoke all on all functions in schema orion_ingest from public, anon, authenticated;
grant select, insert, update on orion_ingest.provider_budgets to orion_ingest;
grant execute on function
    orion_ingest.seconds_between(timestamptz, timestamptz),
    orion_ingest.pace_at(double precision, timestamptz, timestamptz),
    orion_ingest.learned_rate(double precision, double precision),
    orion_ingest.budget_rate(integer, integer, double precision, double precision, double precision),
    orion_ingest.lock_budget(text, text),
    orion_ingest.reserve_budget(text, text, integer, integer, integer, bigint, boolean, double precision),
    orion_ingest.hear_budget(text, text, integer, integer, double precision, double precision),
    orion_ingest.pause_budget(text, text, integer, integer, double precision, boolean, double precision),
    orion_ingest.break_budget(text, text, double precision, double precision)
    to orion_ingest;

reset client_min_messages;
