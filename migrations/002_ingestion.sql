-- What the ingestion worker needs: leases on files, turns of tenants, requests and stashed answers, its own role.
--
-- On a live database nothing is put back into the queue and no table is rewritten or read under a lock.

set client_min_messages = warning;

do $$
begin
    perform set_config('search_path', format('%I, public, pg_temp', n.nspname), false)
    from pg_extension e join pg_namespace n on n.oid = e.extnamespace
    where e.extname = 'vector';
end $$;

-- ── The worker's role ────────────────────────────────────────────────────────────────────────────────────────────

do $$
begin
    if not exists (select from pg_roles where rolname = 'orion_ingest') then
        create role orion_ingest nologin;
    end if;
exception when duplicate_object or unique_violation then
    null; -- another database of this cluster was quicker
end $$;

-- ── Files ────────────────────────────────────────────────────────────────────────────────────────────────────────

alter table public.files
    add column if not exists processing_attempts integer not null default 0,
    add column if not exists leases_lost integer not null default 0,
    add column if not exists processing_error text,
    add column if not exists processing_error_code text,
    add column if not exists due_at timestamptz not null default now(),
    add column if not exists lease_token uuid,
    add column if not exists processed_at timestamptz,
    add column if not exists content_sha256 bytea;
comment on column public.files.processing_attempts is 'Failures charged to this file since it was last asked for.';
comment on column public.files.leases_lost is 'Leases that ran out unsettled since it was last asked for.';
comment on column public.files.processing_error is 'What went wrong last, for people.';
comment on column public.files.processing_error_code is 'What went wrong last, for programs.';
comment on column public.files.due_at is 'When it may next be claimed: queue delay, lease end and back-off in one; means nothing once completed or failed.';
comment on column public.files.lease_token is 'Proves that a write belongs to the claim that it comes from; null when nobody holds it.';
comment on column public.files.processed_at is 'When it was last completed or failed.';
comment on column public.files.content_sha256 is 'SHA-256 of the object that the chunks were made from.';

do $$
begin
    perform orion_ingest.add_constraint('public.files', 'files_processing_attempts_check', 'check (processing_attempts >= 0)');
    perform orion_ingest.add_constraint('public.files', 'files_leases_lost_check', 'check (leases_lost >= 0)');
    perform orion_ingest.add_constraint('public.files', 'files_content_sha256_check', 'check (octet_length(content_sha256) = 32)');
    perform orion_ingest.add_constraint('public.files', 'files_processing_error_code_check', $c$
        check (processing_error_code in (
            'unsupported_type', 'type_disabled', 'too_large', 'object_missing', 'path_not_owned', 'encrypted', 'corrupt',
            'scanned', 'no_text', 'extract_timeout', 'extract_memory', 'extract_crash', 'embedding_rejected',
            'quota_exceeded', 'attempts_exhausted', 'storage_unavailable', 'provider_unavailable'))$c$);
    perform orion_ingest.add_index('index', 'idx_files_due', 'public.files',
        '(user_id, due_at, id) where processing_status in (''pending'', ''processing'')');
end $$;

-- Every claim and settlement leaves a dead entry at the front of idx_files_due, which the next claim has to step over.
alter table public.files set (
    autovacuum_vacuum_scale_factor = 0.005,
    autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_cost_delay = 0
);

create or replace function orion_ingest.requeue() returns trigger language plpgsql set search_path = '' as $$
begin
    new.lease_token := null;
    new.processing_attempts := 0;
    new.leases_lost := 0;
    new.processing_error := null;
    new.processing_error_code := null;
    new.due_at := now();
    return new;
end $$;
comment on function orion_ingest.requeue() is
    'A new start for a file that somebody set back to pending: due now, no lease, nothing charged.';
-- A worker that sets its own file back to pending ends its lease and says when it is due by the same statement, and
-- keeps what it wrote.
create or replace trigger requeue
    before update of processing_status on public.files
    for each row
    when (new.processing_status = 'pending'
          and (old.lease_token is null or new.lease_token is not null or new.due_at = old.due_at))
    execute function orion_ingest.requeue();

-- ── Turns ────────────────────────────────────────────────────────────────────────────────────────────────────────

create table if not exists orion_ingest.tenants (
    user_id uuid primary key references public.user_profiles (id) on delete cascade,
    turn_at timestamptz not null,
    head_at timestamptz not null
) with (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);
create index if not exists tenants_turn_at_idx on orion_ingest.tenants (turn_at);
comment on table orion_ingest.tenants is 'Whose turn it is: the least recently served person with due files is claimed from first.';
comment on column orion_ingest.tenants.user_id is 'The person; deleted with the profile.';
comment on column orion_ingest.tenants.turn_at is 'When it is their turn; infinity while they have nothing to do.';
comment on column orion_ingest.tenants.head_at is 'No claimable file of theirs has an earlier due_at: where a claim begins to look.';

create or replace function orion_ingest.enqueue_added() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    -- Ordered, so that two inserts of many people's files can't wait for each other.
    insert into orion_ingest.tenants as t (user_id, turn_at, head_at)
    select a.user_id, greatest(min(a.due_at), now()), min(a.due_at)
    from added a
    where a.processing_status in ('pending', 'processing')
    group by a.user_id
    order by a.user_id
    on conflict (user_id) do update
        set turn_at = least(t.turn_at, excluded.turn_at), head_at = least(t.head_at, excluded.head_at)
        where excluded.turn_at < t.turn_at or excluded.head_at < t.head_at;
    if exists (select from added a where a.processing_status in ('pending', 'processing') and a.due_at <= now()) then
        perform pg_notify('orion_ingest_files', '');
    end if;
    return null;
end $$;
comment on function orion_ingest.enqueue_added() is 'Gives the owners of new files their turn and wakes the workers.';
create or replace trigger enqueue_added
    after insert on public.files referencing new table as added
    for each statement execute function orion_ingest.enqueue_added();

create or replace function orion_ingest.enqueue_changed() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    insert into orion_ingest.tenants as t (user_id, turn_at, head_at)
    values (new.user_id, greatest(new.due_at, now()), new.due_at)
    on conflict (user_id) do update
        set turn_at = least(t.turn_at, excluded.turn_at), head_at = least(t.head_at, excluded.head_at)
        where excluded.turn_at < t.turn_at or excluded.head_at < t.head_at;
    if new.due_at <= now() then
        perform pg_notify('orion_ingest_files', '');
    end if;
    return null;
end $$;
comment on function orion_ingest.enqueue_changed() is
    'Gives the owner of a file that came back, or comes due earlier, their turn and wakes the workers.';
create or replace trigger enqueue_changed
    after update of processing_status, due_at, user_id on public.files
    for each row
    when (new.processing_status in ('pending', 'processing')
          and (new.due_at < old.due_at or old.processing_status not in ('pending', 'processing')
               or new.user_id <> old.user_id))
    execute function orion_ingest.enqueue_changed();

-- Those who were waiting before there were turns. On a large table this needs idx_files_due, which is built before it.
do $$
declare
    statement constant text := $s$
        insert into orion_ingest.tenants as t (user_id, turn_at, head_at)
        select f.user_id, greatest(min(f.due_at), now()), min(f.due_at)
        from public.files f
        where f.processing_status in ('pending', 'processing')
        group by f.user_id
        order by f.user_id
        on conflict (user_id) do update
            set turn_at = least(t.turn_at, excluded.turn_at), head_at = least(t.head_at, excluded.head_at)
            where excluded.turn_at < t.turn_at or excluded.head_at < t.head_at$s$;
begin
    if orion_ingest.is_large('public.files') then
        perform orion_ingest.defer('turns of those who wait', statement);
    else
        execute statement;
    end if;
end $$;

-- Takes turns first and files second, each in its own statement: a file that came in between is then seen, or its
-- insert waits for our lock on the tenant and puts the turn right afterwards. Index scans only, whatever the backlog.
create or replace function orion_ingest.claim_files(
    max_files integer,
    lease_for interval,
    turn_from timestamptz,
    only_user uuid default null,
    only_files uuid[] default null
) returns setof public.files
language plpgsql volatile set search_path = ''
-- A plan made while the tables were small must not read them whole when they have grown.
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
as $$
declare
    users uuid[];
    heads timestamptz[];
    places tid[];
    share integer;
begin
    -- People whose turn finds nothing due any more only have it moved on: look at the next ones. Ends, since no turn is
    -- visited twice: each is moved past now().
    loop
        select array_agg(t.user_id), array_agg(t.head_at), array_agg(t.place) into users, heads, places
        from (
            select t.user_id, t.head_at, t.ctid as place
            from orion_ingest.tenants t
            where t.turn_at between claim_files.turn_from and now()
              and (only_user is null or t.user_id = only_user)
            order by t.turn_at
            limit claim_files.max_files
            for no key update skip locked
        ) t;
        if users is null then
            return;
        end if;
        -- Everybody whose turn it is gets something; what does not divide goes to those who waited longest.
        share := claim_files.max_files / cardinality(users);

        return query
            with served as materialized (
                select * from unnest(users, heads, places) with ordinality as s (user_id, head_at, place, turn)
            ), picked as materialized (
                select f.id, s.user_id
                from served s
                cross join lateral (
                    select f.id from public.files f
                    where f.user_id = s.user_id
                      and f.processing_status in ('pending', 'processing')
                      and f.due_at between s.head_at and now()
                      and (only_files is null or f.id = any (only_files))
                    order by f.due_at, f.id
                    limit share + (s.turn <= claim_files.max_files - share * cardinality(users))::integer
                    for no key update skip locked
                ) f
                limit claim_files.max_files
            ), claimed as (
                update public.files f
                set processing_status = 'processing',
                    lease_token = gen_random_uuid(),
                    due_at = now() + claim_files.lease_for,
                    leases_lost = f.leases_lost + (f.processing_status = 'processing' and f.lease_token is not null)::integer
                from picked p
                where f.id = p.id
                returning f.*
            ), turned as (
                update orion_ingest.tenants t
                -- A picked file comes back when its lease runs out, however late the next one is.
                set head_at = least(coalesce(rest.due_at, now() + claim_files.lease_for), now() + claim_files.lease_for),
                    turn_at = case
                        when rest.due_at <= now() then clock_timestamp()
                        else coalesce(
                            least(rest.due_at, (select now() + claim_files.lease_for from picked p
                                                where p.user_id = s.user_id limit 1)),
                            'infinity')
                    end
                from served s
                left join lateral (
                    select f.due_at from public.files f
                    where f.user_id = s.user_id
                      and f.processing_status in ('pending', 'processing')
                      and f.due_at >= s.head_at
                      and not exists (select from picked p where p.id = f.id)
                    order by f.due_at, f.id
                    limit 1
                ) rest on true
                where t.ctid = s.place
            )
            select * from claimed;
        exit when found;
    end loop;
end $$;
comment on function orion_ingest.claim_files(integer, interval, timestamptz, uuid, uuid[]) is
    'Leases up to max_files due files for lease_for, the least recently served person first, their oldest file first. turn_from: a lower bound of turn_at that spares dead index entries, -infinity at least every second. only_user and only_files narrow it, for a drain of certain files.';

-- ── Money ────────────────────────────────────────────────────────────────────────────────────────────────────────

create table if not exists orion_ingest.embedding_requests (
    id uuid primary key default gen_random_uuid(),
    provider text not null,
    model text not null,
    dimensions integer not null check (dimensions > 0),
    inputs integer not null check (inputs > 0),
    tokens integer not null check (tokens >= 0),
    state text not null default 'uncertain' check (state in ('uncertain', 'settled', 'refused')),
    billed_tokens integer check (billed_tokens >= 0),
    sent_at timestamptz not null default now(),
    settled_at timestamptz,
    check ((state = 'uncertain') = (settled_at is null))
);
create index if not exists embedding_requests_uncertain_idx on orion_ingest.embedding_requests (sent_at) where state = 'uncertain';
create index if not exists embedding_requests_sent_at_idx on orion_ingest.embedding_requests (sent_at);
comment on table orion_ingest.embedding_requests is 'Requests to the provider, written before they are sent: settled <= the bill <= settled + uncertain.';
comment on column orion_ingest.embedding_requests.id is 'Key.';
comment on column orion_ingest.embedding_requests.provider is 'Who is asked.';
comment on column orion_ingest.embedding_requests.model is 'For which model.';
comment on column orion_ingest.embedding_requests.dimensions is 'Length of the vectors asked for.';
comment on column orion_ingest.embedding_requests.inputs is 'Texts in it.';
comment on column orion_ingest.embedding_requests.tokens is 'Tokens by our own count.';
comment on column orion_ingest.embedding_requests.state is 'uncertain: sent, no answer booked; settled: the answer is booked in usage_logs; refused: the provider answered with an error.';
comment on column orion_ingest.embedding_requests.billed_tokens is 'Tokens by the provider''s count.';
comment on column orion_ingest.embedding_requests.sent_at is 'When.';
comment on column orion_ingest.embedding_requests.settled_at is 'When its answer was booked or refused.';

create table if not exists orion_ingest.stashed_vectors (
    file_id uuid not null references public.files (id) on delete cascade,
    user_id uuid not null,
    model text not null,
    dimensions integer not null check (dimensions > 0),
    content_sha256 bytea not null check (octet_length(content_sha256) = 32),
    embedding vector not null,
    created_at timestamptz not null default now(),
    primary key (file_id, model, dimensions, content_sha256),
    check (vector_dims(embedding) = dimensions)
);
create index if not exists stashed_vectors_reuse_idx on orion_ingest.stashed_vectors (user_id, model, dimensions, content_sha256);
comment on table orion_ingest.stashed_vectors is 'Paid vectors that wait for their file''s commit, which deletes them.';
comment on column orion_ingest.stashed_vectors.file_id is 'The file; deleted with it.';
comment on column orion_ingest.stashed_vectors.user_id is 'Whose file: vectors are reused within one person''s files only.';
comment on column orion_ingest.stashed_vectors.model is 'Model that made it.';
comment on column orion_ingest.stashed_vectors.dimensions is 'Its length.';
comment on column orion_ingest.stashed_vectors.content_sha256 is 'SHA-256 of the text that was embedded.';
comment on column orion_ingest.stashed_vectors.embedding is 'The vector.';
comment on column orion_ingest.stashed_vectors.created_at is 'When it arrived.';

-- ── Whose object ─────────────────────────────────────────────────────────────────────────────────────────────────

-- plpgsql, so that it can be made where storage.objects has no owner_id: the column is looked for when it is called.
create or replace function orion_ingest.object_owner(bucket text, key text) returns text
language plpgsql stable security definer set search_path = '' as $$
begin
    return (
        select o.owner_id from storage.objects o
        where o.bucket_id = object_owner.bucket and o.name = object_owner.key
    );
end $$;
comment on function orion_ingest.object_owner(text, text) is
    'Who uploaded an object, by storage.objects.owner_id; null if nobody knows. For STORAGE_PATH_POLICY=owner-object.';

-- ── Rights ───────────────────────────────────────────────────────────────────────────────────────────────────────

revoke all on all tables in schema orion_ingest from public, anon, authenticated;
revoke all on all functions in schema orion_ingest from public, anon, authenticated;

do $$
declare
    home name;
    relation text;
begin
    grant usage on schema public, orion_ingest to orion_ingest;

    foreach relation in array array['user_profiles', 'files', 'document_chunks', 'usage_logs', 'file_type_configs'] loop
        execute format('revoke all on public.%I from orion_ingest', relation);
        perform orion_ingest.add_policy(('public.' || relation)::regclass, 'The ingestion worker does its work',
            'all', 'orion_ingest', 'true', 'true');
    end loop;
    grant select, update (total_tokens_used, total_cost_usd) on public.user_profiles to orion_ingest;
    -- It inserts files for `orion-ingest ingest`.
    grant select,
        insert (id, user_id, conversation_id, original_name, storage_path, mime_type, file_size),
        update (processing_status, extracted_text, chunk_count, processing_attempts, leases_lost, processing_error,
                processing_error_code, due_at, lease_token, processed_at, content_sha256)
        on public.files to orion_ingest;
    grant select, insert, delete on public.document_chunks to orion_ingest;
    grant select, insert on public.usage_logs to orion_ingest;
    grant select on public.file_type_configs to orion_ingest;

    revoke all on all tables in schema orion_ingest from orion_ingest;
    grant select on orion_ingest.migrations to orion_ingest;
    -- Locking a row for share takes the right to update some column of it.
    grant select, update (activated_at) on orion_ingest.active_models to orion_ingest;
    grant select, update (turn_at, head_at) on orion_ingest.tenants to orion_ingest;
    grant select, insert, update, delete on orion_ingest.embedding_requests, orion_ingest.stashed_vectors to orion_ingest;

    grant execute on function
        orion_ingest.claim_files(integer, interval, timestamptz, uuid, uuid[]),
        orion_ingest.object_owner(text, text),
        public.active_embedding_model(text),
        public.check_query_embedding(text, vector, text),
        public.search_similar_chunks(vector, uuid, double precision, integer, text),
        public.search_similar_messages(vector, uuid, uuid, double precision, integer, text)
        to orion_ingest;

    select n.nspname into home
    from pg_extension e join pg_namespace n on n.oid = e.extnamespace
    where e.extname = 'vector';
    if home <> 'public' then
        begin
            execute format('grant usage on schema %I to orion_ingest', home);
            execute format('alter role orion_ingest in database %I set search_path = public, %I', current_database(), home);
        exception when insufficient_privilege then
            raise warning 'no right to let orion_ingest use the schema of pgvector (%): as its owner run: grant usage on schema % to orion_ingest; alter role orion_ingest set search_path = public, %;',
                sqlerrm, home, home;
        end;
    end if;
end $$;

reset search_path;
reset client_min_messages;
