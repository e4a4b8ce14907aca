-- OrionChat's schema: profiles, conversations, messages, files, chunks, images, usage, prompts, file types.
--
-- Runs through `orion-ingest migrate`, `psql -f` and the Supabase CLI, on PostgreSQL 15+ with pgvector 0.8+.
-- Every statement may be repeated, and adds only what is missing: an existing database keeps its rows, its other
-- columns and its own `auth`, `storage` and `extensions`. Indexes and validations that would hold a large table for
-- long are written down in orion_ingest.deferred, which `orion-ingest migrate` works off without blocking anybody.

set client_min_messages = warning;

-- ── What Supabase brings, where it is missing ────────────────────────────────────────────────────────────────────

do $$
declare
    wanted record;
begin
    for wanted in
        select * from (values
            ('anon', 'nologin noinherit'),
            ('authenticated', 'nologin noinherit'),
            ('service_role', 'nologin noinherit bypassrls')
        ) as roles (name, attributes)
    loop
        continue when exists (select from pg_roles where rolname = wanted.name);
        begin
            execute format('create role %I %s', wanted.name, wanted.attributes);
        exception
            when duplicate_object or unique_violation then
                null; -- another database of this cluster was quicker
            when insufficient_privilege then
                -- Only superusers may give bypassrls; the policies below name service_role, so it can do without.
                execute format('create role %I nologin noinherit', wanted.name);
        end;
    end loop;
end $$;

-- Where the extension goes: Supabase's own schema if there is one, else public, which every client searches.
do $$
begin
    if exists (select from pg_extension where extname = 'vector') then
        null;
    elsif to_regnamespace('extensions') is not null then
        create extension if not exists vector with schema extensions;
    else
        create extension if not exists vector with schema public;
    end if;
exception
    when insufficient_privilege then
        raise exception 'the extension pgvector is not installed in this database, and this user may not install it'
            using hint = 'Let a superuser run once: create extension vector;';
    when undefined_file or feature_not_supported then
        raise exception 'this PostgreSQL server has no pgvector'
            using hint = 'Install pgvector 0.8 or later on the server (Debian: postgresql-NN-pgvector), then repeat.';
end $$;

do $$
declare
    found text;
    home name;
begin
    select e.extversion, n.nspname into found, home
    from pg_extension e join pg_namespace n on n.oid = e.extnamespace
    where e.extname = 'vector';
    if string_to_array(substring(found from '^[0-9]+\.[0-9]+'), '.')::int[] < array[0, 8] then
        raise exception 'pgvector % is too old: 0.8 or later is needed', found
            using hint = 'Run: alter extension vector update;';
    end if;
    -- For the rest of this file, and (set search_path from current) for the functions that compare vectors.
    perform set_config('search_path', format('%I, public, pg_temp', home), false);
end $$;

do $$
begin
    if to_regnamespace('extensions') is null then
        create schema extensions;
        grant usage on schema extensions to anon, authenticated, service_role;
    end if;

    if to_regnamespace('auth') is null then
        create schema auth;
        grant usage on schema auth to anon, authenticated, service_role;
    end if;
    if to_regclass('auth.users') is null then
        create table auth.users (
            id uuid primary key default gen_random_uuid(),
            email text unique,
            raw_app_meta_data jsonb not null default '{}',
            raw_user_meta_data jsonb not null default '{}',
            created_at timestamptz not null default now(),
            updated_at timestamptz not null default now()
        );
        comment on table auth.users is 'Stand-in for Supabase Auth: who may own rows.';
    end if;
    if to_regprocedure('auth.jwt()') is null then
        create function auth.jwt() returns jsonb language sql stable set search_path = '' as $f$
            select nullif(current_setting('request.jwt.claims', true), '')::jsonb
        $f$;
    end if;
    if to_regprocedure('auth.uid()') is null then
        create function auth.uid() returns uuid language sql stable set search_path = '' as $f$
            select nullif(coalesce(
                nullif(current_setting('request.jwt.claim.sub', true), ''),
                nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
            ), '')::uuid
        $f$;
    end if;
    if to_regprocedure('auth.role()') is null then
        create function auth.role() returns text language sql stable set search_path = '' as $f$
            select coalesce(
                nullif(current_setting('request.jwt.claim.role', true), ''),
                nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'
            )
        $f$;
    end if;

    if to_regnamespace('storage') is null then
        create schema storage;
        grant usage on schema storage to anon, authenticated, service_role;
    end if;
    if to_regclass('storage.buckets') is null then
        create table storage.buckets (
            id text primary key,
            name text not null unique,
            public boolean not null default false,
            file_size_limit bigint,
            allowed_mime_types text[],
            created_at timestamptz not null default now(),
            updated_at timestamptz not null default now()
        );
        comment on table storage.buckets is 'Stand-in for Supabase Storage.';
        alter table storage.buckets enable row level security;
        grant all on storage.buckets to service_role;
        create policy "service role" on storage.buckets to service_role using (true) with check (true);
    end if;
    if to_regclass('storage.objects') is null then
        create table storage.objects (
            id uuid primary key default gen_random_uuid(),
            bucket_id text not null references storage.buckets (id),
            name text not null,
            owner_id text,
            metadata jsonb,
            version text,
            created_at timestamptz not null default now(),
            updated_at timestamptz not null default now(),
            unique (bucket_id, name)
        );
        comment on table storage.objects is 'Stand-in for Supabase Storage: what lies in the buckets, if somebody tells.';
        alter table storage.objects enable row level security;
        grant select, insert, update, delete on storage.objects to authenticated;
        grant all on storage.objects to service_role;
        create policy "service role" on storage.objects to service_role using (true) with check (true);
    end if;
    if to_regprocedure('storage.foldername(text)') is null then
        create function storage.foldername(name text) returns text[] language sql immutable set search_path = '' as $f$
            select parts[1 : cardinality(parts) - 1] from string_to_array(foldername.name, '/') as parts
        $f$;
    end if;

    if not has_schema_privilege('authenticated', 'public', 'usage')
       or not has_schema_privilege('service_role', 'public', 'usage') then
        grant usage on schema public to anon, authenticated, service_role;
    end if;
end $$;

-- ── Tools of the migrations ──────────────────────────────────────────────────────────────────────────────────────

create schema if not exists orion_ingest;
comment on schema orion_ingest is 'What only the ingestion worker and its migrations use; not for PostgREST.';
revoke all on schema orion_ingest from public, anon, authenticated;

create table if not exists orion_ingest.deferred (
    id bigint generated always as identity primary key,
    name text not null unique,
    statement text not null
);
comment on table orion_ingest.deferred is
    'Statements that would have held a large table for long: `orion-ingest migrate` runs them, in order, outside a transaction.';
comment on column orion_ingest.deferred.id is 'Their order.';
comment on column orion_ingest.deferred.name is 'What the statement makes.';
comment on column orion_ingest.deferred.statement is 'One statement that may be repeated.';

create table if not exists orion_ingest.migrations (
    version bigint primary key,
    name text not null,
    checksum bytea not null,
    applied_at timestamptz not null default now()
);
comment on table orion_ingest.migrations is 'Which files of migrations/ `orion-ingest migrate` has applied here.';
comment on column orion_ingest.migrations.version is 'Number in the file''s name.';
comment on column orion_ingest.migrations.name is 'The rest of the file''s name.';
comment on column orion_ingest.migrations.checksum is 'SHA-256 of the file.';
comment on column orion_ingest.migrations.applied_at is 'When.';

create or replace function orion_ingest.defer(name text, statement text) returns void
language plpgsql set search_path = '' as $$
begin
    insert into orion_ingest.deferred (name, statement) values (defer.name, defer.statement)
    on conflict on constraint deferred_name_key do update set statement = excluded.statement;
    raise warning 'left for `orion-ingest migrate`, since the table is large: %', statement;
end $$;

comment on function orion_ingest.defer(text, text) is 'Leaves a statement to `orion-ingest migrate`, and says so.';

create or replace function orion_ingest.is_large(relation regclass) returns boolean
language sql stable set search_path = '' as $$
    select reltuples >= 100000 or (reltuples < 0 and pg_relation_size(oid) > 64 * 1024 * 1024)
    from pg_class where oid = relation
$$;

comment on function orion_ingest.is_large(regclass) is 'Whether a table is too large to be read under a lock.';

create or replace function orion_ingest.add_index(kind text, name text, relation regclass, definition text)
returns void language plpgsql set search_path = '' as $$
begin
    if exists (
        select from pg_index i join pg_class c on c.oid = i.indexrelid
        where i.indrelid = relation and c.relname = add_index.name and i.indisvalid
    ) then
        return;
    elsif orion_ingest.is_large(relation) then
        perform orion_ingest.defer(name,
            format('create %s concurrently if not exists %I on %s %s', kind, name, relation, definition));
    else
        execute format('create %s if not exists %I on %s %s', kind, name, relation, definition);
    end if;
end $$;

comment on function orion_ingest.add_index(text, text, regclass, text) is 'Adds an index where it is missing.';

create or replace function orion_ingest.add_constraint(
    relation regclass, name text, definition text, referenced regclass default null
) returns void language plpgsql set search_path = '' as $$
declare
    addition text := format('alter table %s add constraint %I %s not valid', relation, name, definition);
    validation text := format('alter table %s validate constraint %I', relation, name);
begin
    if exists (select from pg_constraint c where c.conrelid = relation and c.conname = add_constraint.name) then
        return;
    elsif orion_ingest.is_large(referenced) then
        -- The unique index that it refers to may be among the deferred.
        perform orion_ingest.defer(name, format(
            'do $do$ begin %s; exception when duplicate_object then null; end $do$', addition));
        perform orion_ingest.defer(name || ' (validation)', validation);
    else
        execute addition;
        if orion_ingest.is_large(relation) then
            perform orion_ingest.defer(name || ' (validation)', validation);
        else
            begin
                execute validation;
            exception when check_violation or foreign_key_violation then
                raise warning 'constraint % on % holds for new rows only: %', name, relation, sqlerrm;
            end;
        end if;
    end if;
end $$;

comment on function orion_ingest.add_constraint(regclass, text, text, regclass) is
    'Adds a check or foreign key where it is missing, without reading a large table under a lock. Rows that break it stay, new ones can''t come.';

create or replace function orion_ingest.add_policy(
    relation regclass, name text, command text, grantee text, using_ text default null, check_ text default null
) returns void language plpgsql set search_path = '' as $$
declare
    was text := (
        select row (p.polcmd, p.polroles, pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))::text
        from pg_policy p where p.polrelid = relation and p.polname = add_policy.name);
begin
    execute format('drop policy if exists %I on %s', name, relation);
    execute format('create policy %I on %s for %s to %I %s %s', name, relation, command, grantee,
        'using (' || using_ || ')', 'with check (' || check_ || ')');
    if was <> (
        select row (p.polcmd, p.polroles, pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))::text
        from pg_policy p where p.polrelid = relation and p.polname = add_policy.name)
    then
        raise warning 'replaced the policy "%" on %, which was: %', name, relation, was;
    end if;
end $$;
comment on function orion_ingest.add_policy(regclass, text, text, text, text, text) is 'Makes or remakes a policy; says so if another had its name.';

create or replace function orion_ingest.drop_view(name text) returns void language plpgsql set search_path = '' as $$
declare
    found regclass := to_regclass(format('public.%I', name));
begin
    if found is not null then
        perform set_config('orion_ingest.' || name, pg_get_viewdef(found), false);
        execute format('drop view %s', found);
    end if;
exception when dependent_objects_still_exist then
    raise exception 'the view % is to be replaced, but others depend on it', found
        using hint = 'Drop those (or rename the view), repeat, and make them again.';
end $$;
comment on function orion_ingest.drop_view(text) is 'Makes room for a view; view_made() says so if it was another one.';

create or replace function orion_ingest.view_made(name text) returns void language plpgsql set search_path = '' as $$
declare
    was text := current_setting('orion_ingest.' || name, true);
begin
    if was <> '' and was <> pg_get_viewdef(format('public.%I', name)::regclass) then
        raise warning 'replaced the view %, which was: %', name, was;
    end if;
    perform set_config('orion_ingest.' || name, '', false);
end $$;
comment on function orion_ingest.view_made(text) is 'To be called when what drop_view() made room for is there.';

-- ── Types ────────────────────────────────────────────────────────────────────────────────────────────────────────

do $$
declare
    wanted record;
    needed text;
begin
    for wanted in
        select * from (values
            ('user_role', '{user,admin,moderator}'::text[], 'What a person may do in OrionChat.'),
            ('model_provider', '{openai,anthropic,google,replicate,ollama}', 'Who runs a model.'),
            ('message_role', '{user,assistant,system}', 'Who speaks.'),
            ('processing_status', '{pending,processing,completed,failed}', 'Where a file stands with the ingestion worker.')
        ) as types (name, labels, description)
    loop
        if to_regtype('public.' || wanted.name) is null then
            execute format('create type public.%I as enum (%s)', wanted.name,
                (select string_agg(quote_literal(label), ', ' order by place)
                 from unnest(wanted.labels) with ordinality as l (label, place)));
            execute format('comment on type public.%I is %L', wanted.name, wanted.description);
        elsif exists (select from pg_type t where t.oid = to_regtype('public.' || wanted.name) and t.typtype = 'e') then
            foreach needed in array wanted.labels loop
                execute format('alter type public.%I add value if not exists %L', wanted.name, needed);
            end loop;
        end if;
    end loop;
end $$;

-- ── Tables ───────────────────────────────────────────────────────────────────────────────────────────────────────

create table if not exists public.user_profiles (id uuid primary key);
alter table public.user_profiles
    add column if not exists email text,
    add column if not exists display_name text,
    add column if not exists avatar_url text,
    add column if not exists role public.user_role not null default 'user',
    add column if not exists preferred_model_provider public.model_provider not null default 'openai',
    add column if not exists preferred_model_name text not null default 'gpt-4o-mini',
    add column if not exists total_messages bigint not null default 0,
    add column if not exists total_tokens_used bigint not null default 0,
    add column if not exists total_cost_usd numeric(20, 10) not null default 0,
    add column if not exists monthly_token_quota bigint,
    add column if not exists monthly_cost_quota_usd numeric(20, 10),
    add column if not exists created_at timestamptz not null default now(),
    add column if not exists updated_at timestamptz not null default now();
comment on table public.user_profiles is 'A person: what Supabase Auth does not hold. One row per auth.users row, made by a trigger.';
comment on column public.user_profiles.id is 'auth.users.id; deleted with it.';
comment on column public.user_profiles.email is 'Copy of auth.users.email; null for people without one.';
comment on column public.user_profiles.display_name is 'Shown to others; chosen by the person.';
comment on column public.user_profiles.avatar_url is 'Picture; chosen by the person.';
comment on column public.user_profiles.role is 'Rights in OrionChat; only the back end writes it.';
comment on column public.user_profiles.preferred_model_provider is 'Provider of new conversations.';
comment on column public.user_profiles.preferred_model_name is 'Model of new conversations.';
comment on column public.user_profiles.total_messages is 'Messages ever sent; only the back end writes it.';
comment on column public.user_profiles.total_tokens_used is 'Tokens ever billed, embeddings included; only the back end and the worker write it.';
comment on column public.user_profiles.total_cost_usd is 'What they cost; only the back end and the worker write it.';
comment on column public.user_profiles.monthly_token_quota is 'Tokens allowed in a calendar month (UTC); null is no limit.';
comment on column public.user_profiles.monthly_cost_quota_usd is 'US dollars allowed in a calendar month (UTC); null is no limit.';
comment on column public.user_profiles.created_at is 'When the row was made.';
comment on column public.user_profiles.updated_at is 'When it was last changed; kept by a trigger.';

create table if not exists public.conversations (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null
);
alter table public.conversations
    add column if not exists title text not null default 'New conversation',
    add column if not exists model_provider public.model_provider not null default 'openai',
    add column if not exists model_name text not null default 'gpt-4o-mini',
    add column if not exists temperature double precision not null default 0.7,
    add column if not exists max_tokens integer,
    add column if not exists system_prompt text,
    add column if not exists document_chat boolean not null default false,
    add column if not exists image_generation boolean not null default false,
    add column if not exists web_search boolean not null default false,
    add column if not exists message_count integer not null default 0,
    add column if not exists total_tokens_used bigint not null default 0,
    add column if not exists total_cost_usd numeric(20, 10) not null default 0,
    add column if not exists metadata jsonb not null default '{}',
    add column if not exists created_at timestamptz not null default now(),
    add column if not exists updated_at timestamptz not null default now();
comment on table public.conversations is 'A chat and the model that answers in it.';
comment on column public.conversations.id is 'Key.';
comment on column public.conversations.user_id is 'Whose it is; deleted with the person.';
comment on column public.conversations.title is 'Shown in lists.';
comment on column public.conversations.model_provider is 'Who answers.';
comment on column public.conversations.model_name is 'Which of the provider''s models.';
comment on column public.conversations.temperature is '0 to 2.';
comment on column public.conversations.max_tokens is 'Longest answer; null is the model''s own limit.';
comment on column public.conversations.system_prompt is 'Instructions before the first message.';
comment on column public.conversations.document_chat is 'Whether answers draw on the person''s files.';
comment on column public.conversations.image_generation is 'Whether pictures may be made.';
comment on column public.conversations.web_search is 'Whether the web may be searched.';
comment on column public.conversations.message_count is 'Messages in it; written by the back end.';
comment on column public.conversations.total_tokens_used is 'Tokens billed in it; written by the back end.';
comment on column public.conversations.total_cost_usd is 'What they cost; written by the back end.';
comment on column public.conversations.metadata is 'Notes of the back end; {"sample": true} marks generated rows.';
comment on column public.conversations.created_at is 'When the row was made.';
comment on column public.conversations.updated_at is 'When it was last changed; kept by a trigger.';

create table if not exists public.messages (
    id uuid primary key default gen_random_uuid(),
    conversation_id uuid not null,
    user_id uuid not null
);
alter table public.messages
    add column if not exists role public.message_role not null,
    add column if not exists content text not null,
    add column if not exists provider public.model_provider,
    add column if not exists model text,
    add column if not exists tokens_used integer not null default 0,
    add column if not exists cost_usd numeric(20, 10) not null default 0,
    add column if not exists embedding vector(1536),
    add column if not exists embedding_model text,
    add column if not exists tool_calls jsonb,
    add column if not exists attachments jsonb,
    add column if not exists created_at timestamptz not null default now(),
    add column if not exists updated_at timestamptz not null default now();
comment on table public.messages is 'What was said in a conversation.';
comment on column public.messages.id is 'Key.';
comment on column public.messages.conversation_id is 'Where; deleted with it.';
comment on column public.messages.user_id is 'Whose conversation it is.';
comment on column public.messages.role is 'Who speaks.';
comment on column public.messages.content is 'The words; empty where only tools were called.';
comment on column public.messages.provider is 'Who made the answer; null for people''s messages.';
comment on column public.messages.model is 'Which model made it.';
comment on column public.messages.tokens_used is 'Tokens of prompt and answer.';
comment on column public.messages.cost_usd is 'What they cost.';
comment on column public.messages.embedding is 'Vector of content for search; null until the worker makes it, and again when content changes.';
comment on column public.messages.embedding_model is 'Model that made the vector; null beside a vector means the active one.';
comment on column public.messages.tool_calls is 'Calls of tools in the answer.';
comment on column public.messages.attachments is 'Files and pictures sent along.';
comment on column public.messages.created_at is 'When it was said.';
comment on column public.messages.updated_at is 'When it was last edited; kept by a trigger, which embeddings do not touch.';

create table if not exists public.archived_messages (
    id uuid primary key,
    conversation_id uuid not null,
    user_id uuid not null
);
alter table public.archived_messages
    add column if not exists role public.message_role not null,
    add column if not exists content text not null,
    add column if not exists provider public.model_provider,
    add column if not exists model text,
    add column if not exists tokens_used integer not null default 0,
    add column if not exists cost_usd numeric(20, 10) not null default 0,
    add column if not exists tool_calls jsonb,
    add column if not exists attachments jsonb,
    add column if not exists created_at timestamptz not null default now(),
    add column if not exists updated_at timestamptz not null default now(),
    add column if not exists archived_at timestamptz not null default now();
comment on table public.archived_messages is 'Old messages, moved here by archive_old_messages(): readable, no longer searchable.';
comment on column public.archived_messages.id is 'Its id in messages.';
comment on column public.archived_messages.conversation_id is 'Where; deleted with it.';
comment on column public.archived_messages.user_id is 'Whose conversation it is.';
comment on column public.archived_messages.role is 'Who spoke.';
comment on column public.archived_messages.content is 'The words.';
comment on column public.archived_messages.provider is 'Who made the answer.';
comment on column public.archived_messages.model is 'Which model made it.';
comment on column public.archived_messages.tokens_used is 'Tokens of prompt and answer.';
comment on column public.archived_messages.cost_usd is 'What they cost.';
comment on column public.archived_messages.tool_calls is 'Calls of tools in the answer.';
comment on column public.archived_messages.attachments is 'Files and pictures sent along.';
comment on column public.archived_messages.created_at is 'When it was said.';
comment on column public.archived_messages.updated_at is 'When it was last edited.';
comment on column public.archived_messages.archived_at is 'When it was moved here.';

create table if not exists public.files (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null
);
alter table public.files
    add column if not exists conversation_id uuid,
    add column if not exists original_name text not null,
    add column if not exists storage_path text not null,
    add column if not exists mime_type text not null,
    add column if not exists file_size bigint not null,
    add column if not exists processing_status public.processing_status not null default 'pending',
    add column if not exists extracted_text text,
    add column if not exists chunk_count integer not null default 0,
    add column if not exists created_at timestamptz not null default now(),
    add column if not exists updated_at timestamptz not null default now();
comment on table public.files is 'An uploaded file and where it stands with the ingestion worker.';
comment on column public.files.id is 'Key.';
comment on column public.files.user_id is 'Whose it is; deleted with the person.';
comment on column public.files.conversation_id is 'Where it was uploaded, if in a conversation.';
comment on column public.files.original_name is 'The name that the person gave it.';
comment on column public.files.storage_path is 'Key of the object in the bucket; user input, so the worker checks whose the object is.';
comment on column public.files.mime_type is 'What the uploader claims; the bytes decide.';
comment on column public.files.file_size is 'Bytes, as the uploader claims.';
comment on column public.files.processing_status is 'Set it to pending to have the file ingested again.';
comment on column public.files.extracted_text is 'The text that the chunks were cut from.';
comment on column public.files.chunk_count is 'Number of rows in document_chunks.';
comment on column public.files.created_at is 'When the row was made.';
comment on column public.files.updated_at is 'When it was last changed; kept by a trigger.';

-- Half-full pages: a later fill of another vector column stays on the page (HOT) instead of doubling the heap.
create table if not exists public.document_chunks (
    id uuid primary key default gen_random_uuid(),
    file_id uuid not null,
    user_id uuid not null
) with (fillfactor = 50);
alter table public.document_chunks
    add column if not exists content text not null,
    add column if not exists chunk_index integer not null,
    add column if not exists page_number integer,
    add column if not exists heading text,
    add column if not exists embedding vector(1536),
    add column if not exists embedding_model text,
    add column if not exists token_count integer,
    add column if not exists content_sha256 bytea,
    add column if not exists metadata jsonb not null default '{}',
    add column if not exists created_at timestamptz not null default now(),
    add column if not exists updated_at timestamptz not null default now();
alter table public.document_chunks set (fillfactor = 50);
comment on table public.document_chunks is 'A piece of a file''s text with its vector; the whole set of a file is replaced at once.';
comment on column public.document_chunks.id is 'Key.';
comment on column public.document_chunks.file_id is 'The file; deleted with it.';
comment on column public.document_chunks.user_id is 'Whose file it is.';
comment on column public.document_chunks.content is 'The text, without any embedding prefix.';
comment on column public.document_chunks.chunk_index is 'Its place in the file, from 0.';
comment on column public.document_chunks.page_number is 'Page on which it starts, from 1; null where the format has none.';
comment on column public.document_chunks.heading is 'Path of headings above it, A > B.';
comment on column public.document_chunks.embedding is 'Vector of the embedded text.';
comment on column public.document_chunks.embedding_model is 'Model that made the vector; null beside a vector means the active one.';
comment on column public.document_chunks.token_count is 'Tokens of content; null on rows from before the worker.';
comment on column public.document_chunks.content_sha256 is 'SHA-256 of the text that was embedded; null on rows from before the worker.';
comment on column public.document_chunks.metadata is 'What else the extractor knew.';
comment on column public.document_chunks.created_at is 'When the row was made.';
comment on column public.document_chunks.updated_at is 'When its text was last changed; kept by a trigger, which embeddings do not touch.';

create table if not exists public.generated_images (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null
);
alter table public.generated_images
    add column if not exists conversation_id uuid,
    add column if not exists message_id uuid,
    add column if not exists prompt text not null,
    add column if not exists model text not null,
    add column if not exists storage_path text not null,
    add column if not exists dimensions text,
    add column if not exists format text,
    add column if not exists generation_time_ms integer,
    add column if not exists cost_usd numeric(20, 10) not null default 0,
    add column if not exists metadata jsonb not null default '{}',
    add column if not exists created_at timestamptz not null default now(),
    add column if not exists updated_at timestamptz not null default now();
comment on table public.generated_images is 'A picture that a model made.';
comment on column public.generated_images.id is 'Key.';
comment on column public.generated_images.user_id is 'Whose it is; deleted with the person.';
comment on column public.generated_images.conversation_id is 'Where it was asked for.';
comment on column public.generated_images.message_id is 'The message that shows it.';
comment on column public.generated_images.prompt is 'What was asked for.';
comment on column public.generated_images.model is 'Which model made it.';
comment on column public.generated_images.storage_path is 'Key of the object in the bucket images.';
comment on column public.generated_images.dimensions is 'Width and height in pixels, 1024x1024.';
comment on column public.generated_images.format is 'png, webp, jpeg.';
comment on column public.generated_images.generation_time_ms is 'How long it took, milliseconds.';
comment on column public.generated_images.cost_usd is 'What it cost.';
comment on column public.generated_images.metadata is 'Notes of the back end.';
comment on column public.generated_images.created_at is 'When the row was made.';
comment on column public.generated_images.updated_at is 'When it was last changed; kept by a trigger.';

create table if not exists public.usage_logs (
    id uuid primary key default gen_random_uuid(),
    user_id uuid
);
alter table public.usage_logs
    add column if not exists conversation_id uuid,
    add column if not exists message_id uuid,
    add column if not exists action text not null,
    add column if not exists provider text,
    add column if not exists model text,
    add column if not exists tokens_used bigint not null default 0,
    add column if not exists cost_usd numeric(20, 10) not null default 0,
    add column if not exists metadata jsonb not null default '{}',
    add column if not exists created_at timestamptz not null default now(),
    add column if not exists updated_at timestamptz not null default now();
comment on table public.usage_logs is 'The bill: one row for everything that a provider charged for. Users read, the back end writes.';
comment on column public.usage_logs.id is 'Key.';
comment on column public.usage_logs.user_id is 'Who caused it; null once the person is gone, for the bill stays.';
comment on column public.usage_logs.conversation_id is 'Where, if in a conversation that is still there.';
comment on column public.usage_logs.message_id is 'The message, if it is still there.';
comment on column public.usage_logs.action is 'chat, embedding, image …';
comment on column public.usage_logs.provider is 'Who billed it.';
comment on column public.usage_logs.model is 'Which model.';
comment on column public.usage_logs.tokens_used is 'Tokens billed.';
comment on column public.usage_logs.cost_usd is 'What they cost.';
comment on column public.usage_logs.metadata is 'For embeddings: the file.';
comment on column public.usage_logs.created_at is 'When it was booked.';
comment on column public.usage_logs.updated_at is 'When it was last corrected; kept by a trigger.';

create table if not exists public.system_prompt_templates (
    id uuid primary key default gen_random_uuid(),
    user_id uuid
);
alter table public.system_prompt_templates
    add column if not exists name text not null,
    add column if not exists description text,
    add column if not exists content text not null,
    add column if not exists category text not null default 'general',
    add column if not exists is_public boolean not null default false,
    add column if not exists created_at timestamptz not null default now(),
    add column if not exists updated_at timestamptz not null default now();
comment on table public.system_prompt_templates is 'Instructions to start conversations with.';
comment on column public.system_prompt_templates.id is 'Key.';
comment on column public.system_prompt_templates.user_id is 'Whose it is; null for those that come with OrionChat.';
comment on column public.system_prompt_templates.name is 'Shown in lists.';
comment on column public.system_prompt_templates.description is 'What it is good for.';
comment on column public.system_prompt_templates.content is 'The instructions.';
comment on column public.system_prompt_templates.category is 'Group in lists.';
comment on column public.system_prompt_templates.is_public is 'Whether everybody sees it; only admins and the back end may say so.';
comment on column public.system_prompt_templates.created_at is 'When the row was made.';
comment on column public.system_prompt_templates.updated_at is 'When it was last changed; kept by a trigger.';

create table if not exists public.file_type_configs (mime_type text primary key);
alter table public.file_type_configs
    add column if not exists extensions text[] not null default '{}',
    add column if not exists display_name text not null,
    add column if not exists enabled boolean not null default true,
    add column if not exists max_file_size bigint not null default 52428800,
    add column if not exists extractor text not null,
    add column if not exists splitter text not null,
    add column if not exists chunk_size integer not null default 512,
    add column if not exists chunk_overlap integer not null default 0,
    add column if not exists options jsonb not null default '{}',
    add column if not exists created_at timestamptz not null default now(),
    add column if not exists updated_at timestamptz not null default now();
comment on table public.file_type_configs is 'Which files are taken, and how each type is read and cut; the worker notices changes within a minute.';
comment on column public.file_type_configs.mime_type is 'Lower case, without parameters.';
comment on column public.file_type_configs.extensions is 'Lower case, without the dot.';
comment on column public.file_type_configs.display_name is 'For people.';
comment on column public.file_type_configs.enabled is 'Files of a disabled type end as type_disabled.';
comment on column public.file_type_configs.max_file_size is 'Largest object that is read, bytes.';
comment on column public.file_type_configs.extractor is 'What reads it: pdf, docx, markdown, text, html, csv, json, code.';
comment on column public.file_type_configs.splitter is 'What cuts it: prose, markdown, table, code.';
comment on column public.file_type_configs.chunk_size is 'Most tokens in a chunk.';
comment on column public.file_type_configs.chunk_overlap is 'Tokens that a chunk repeats of the one before it.';
comment on column public.file_type_configs.options is 'Settings of the extractor.';
comment on column public.file_type_configs.created_at is 'When the row was made.';
comment on column public.file_type_configs.updated_at is 'When it was last changed; kept by a trigger.';

create table if not exists orion_ingest.active_models (
    target text primary key check (target in ('chunks', 'messages')),
    model text not null check (model <> ''),
    dimensions integer not null check (dimensions > 0),
    activated_at timestamptz not null default now()
);
comment on table orion_ingest.active_models is 'The model that makes and is searched by the vectors of each table. A commit of vectors takes its row for share, a change of model for update.';
comment on column orion_ingest.active_models.target is 'chunks: document_chunks.embedding; messages: messages.embedding.';
comment on column orion_ingest.active_models.model is 'The provider''s name of it.';
comment on column orion_ingest.active_models.dimensions is 'Length of its vectors.';
comment on column orion_ingest.active_models.activated_at is 'Since when.';

insert into orion_ingest.active_models (target, model, dimensions)
values ('chunks', 'text-embedding-3-small', 1536), ('messages', 'text-embedding-3-small', 1536)
on conflict (target) do nothing;

-- ── Columns of another program's making that are too narrow ──────────────────────────────────────────────────────

-- A page costs a hundred-thousandth of a dollar, which numeric(10, 4) would round to nothing; headings have no limit;
-- and a function that returns text may not return varchar. Neither change rewrites a table. A wider integer does: it
-- comes where that is quick, and elsewhere the worker gets along without.
do $$
declare
    narrow record;
begin
    for narrow in
        select c.oid::regclass as relation, a.attname, format_type(a.atttypid, a.atttypmod) as is, wanted.type
        from (values
            ('user_profiles', 'total_tokens_used', 'bigint'), ('user_profiles', 'monthly_token_quota', 'bigint'),
            ('user_profiles', 'total_cost_usd', 'numeric'), ('usage_logs', 'tokens_used', 'bigint'),
            ('usage_logs', 'cost_usd', 'numeric'), ('usage_logs', 'provider', 'text'), ('usage_logs', 'model', 'text'),
            ('usage_logs', 'action', 'text'), ('messages', 'content', 'text'), ('messages', 'embedding_model', 'text'),
            ('files', 'file_size', 'bigint'), ('files', 'extracted_text', 'text'), ('file_type_configs', 'max_file_size', 'bigint'),
            ('document_chunks', 'content', 'text'), ('document_chunks', 'heading', 'text'),
            ('document_chunks', 'embedding_model', 'text')
        ) as wanted (relation, name, type)
        join pg_class c on c.relname = wanted.relation and c.relnamespace = 'public'::regnamespace
        join pg_attribute a on a.attrelid = c.oid and a.attname = wanted.name
        where (wanted.type = 'bigint' and a.atttypid = 'integer'::regtype)
           or (wanted.type = 'text' and a.atttypid = 'varchar'::regtype)
           -- The scale is the lower half of the modifier.
           or (wanted.type = 'numeric' and a.atttypid = 'numeric'::regtype and a.atttypmod >= 4
               and ((a.atttypmod - 4) & 2047) < 10)
    loop
        if narrow.type = 'bigint' and orion_ingest.is_large(narrow.relation) then
            raise warning '%.% stays an integer, since the table is large', narrow.relation, narrow.attname;
            continue;
        end if;
        perform orion_ingest.drop_view('user_activity_summary');
        begin
            execute format('alter table %s alter column %I type %s', narrow.relation, narrow.attname, narrow.type);
            raise warning 'widened %.% from % to %', narrow.relation, narrow.attname, narrow.is, narrow.type;
        exception when feature_not_supported then
            if narrow.type = 'bigint' then
                raise warning '%.% stays an integer: %', narrow.relation, narrow.attname, sqlerrm;
            else
                raise exception '%.% is %, which is too narrow, and something depends on it: %', narrow.relation, narrow.attname, narrow.is, sqlerrm
                    using hint = format('Drop what depends on it (a view, a policy, a trigger), run: alter table %s alter column %I type %s; and make it again.',
                        narrow.relation, narrow.attname, narrow.type);
            end if;
        end;
    end loop;
end $$;

-- ── Keys and checks ──────────────────────────────────────────────────────────────────────────────────────────────
-- Foreign keys carry the user beside the row, so that nothing can point into another tenant's rows.

do $$
begin
    perform orion_ingest.add_index('unique index', 'user_profiles_email_key', 'public.user_profiles', '(email)');
    perform orion_ingest.add_index('unique index', 'conversations_id_user_id_key', 'public.conversations', '(id, user_id)');
    perform orion_ingest.add_index('unique index', 'messages_id_user_id_key', 'public.messages', '(id, user_id)');
    perform orion_ingest.add_index('unique index', 'files_id_user_id_key', 'public.files', '(id, user_id)');
    perform orion_ingest.add_index('unique index', 'document_chunks_file_id_chunk_index_key', 'public.document_chunks', '(file_id, chunk_index)');
    perform orion_ingest.add_index('unique index', 'system_prompt_templates_name_key', 'public.system_prompt_templates', '(name) where user_id is null');
    perform orion_ingest.add_index('unique index', 'file_type_configs_mime_type_key', 'public.file_type_configs', '(mime_type)');

    perform orion_ingest.add_constraint('public.user_profiles', 'user_profiles_id_fkey',
        'foreign key (id) references auth.users (id) on delete cascade', 'auth.users');
    perform orion_ingest.add_constraint('public.conversations', 'conversations_user_id_fkey',
        'foreign key (user_id) references public.user_profiles (id) on delete cascade', 'public.user_profiles');
    perform orion_ingest.add_constraint('public.messages', 'messages_user_id_fkey',
        'foreign key (user_id) references public.user_profiles (id) on delete cascade', 'public.user_profiles');
    perform orion_ingest.add_constraint('public.messages', 'messages_conversation_id_user_id_fkey',
        'foreign key (conversation_id, user_id) references public.conversations (id, user_id) on delete cascade', 'public.conversations');
    perform orion_ingest.add_constraint('public.archived_messages', 'archived_messages_user_id_fkey',
        'foreign key (user_id) references public.user_profiles (id) on delete cascade', 'public.user_profiles');
    perform orion_ingest.add_constraint('public.archived_messages', 'archived_messages_conversation_id_user_id_fkey',
        'foreign key (conversation_id, user_id) references public.conversations (id, user_id) on delete cascade', 'public.conversations');
    perform orion_ingest.add_constraint('public.files', 'files_user_id_fkey',
        'foreign key (user_id) references public.user_profiles (id) on delete cascade', 'public.user_profiles');
    perform orion_ingest.add_constraint('public.files', 'files_conversation_id_user_id_fkey',
        'foreign key (conversation_id, user_id) references public.conversations (id, user_id) on delete set null (conversation_id)', 'public.conversations');
    perform orion_ingest.add_constraint('public.document_chunks', 'document_chunks_user_id_fkey',
        'foreign key (user_id) references public.user_profiles (id) on delete cascade', 'public.user_profiles');
    perform orion_ingest.add_constraint('public.document_chunks', 'document_chunks_file_id_user_id_fkey',
        'foreign key (file_id, user_id) references public.files (id, user_id) on delete cascade', 'public.files');
    perform orion_ingest.add_constraint('public.generated_images', 'generated_images_user_id_fkey',
        'foreign key (user_id) references public.user_profiles (id) on delete cascade', 'public.user_profiles');
    perform orion_ingest.add_constraint('public.generated_images', 'generated_images_conversation_id_user_id_fkey',
        'foreign key (conversation_id, user_id) references public.conversations (id, user_id) on delete set null (conversation_id)', 'public.conversations');
    perform orion_ingest.add_constraint('public.generated_images', 'generated_images_message_id_user_id_fkey',
        'foreign key (message_id, user_id) references public.messages (id, user_id) on delete set null (message_id)', 'public.messages');
    perform orion_ingest.add_constraint('public.usage_logs', 'usage_logs_user_id_fkey',
        'foreign key (user_id) references public.user_profiles (id) on delete set null', 'public.user_profiles');
    perform orion_ingest.add_constraint('public.usage_logs', 'usage_logs_conversation_id_user_id_fkey',
        'foreign key (conversation_id, user_id) references public.conversations (id, user_id) on delete set null (conversation_id)', 'public.conversations');
    perform orion_ingest.add_constraint('public.usage_logs', 'usage_logs_message_id_user_id_fkey',
        'foreign key (message_id, user_id) references public.messages (id, user_id) on delete set null (message_id)', 'public.messages');
    perform orion_ingest.add_constraint('public.system_prompt_templates', 'system_prompt_templates_user_id_fkey',
        'foreign key (user_id) references public.user_profiles (id) on delete cascade', 'public.user_profiles');

    perform orion_ingest.add_constraint('public.user_profiles', 'user_profiles_totals_check',
        'check (total_messages >= 0 and total_tokens_used >= 0 and total_cost_usd >= 0)');
    perform orion_ingest.add_constraint('public.user_profiles', 'user_profiles_quotas_check',
        'check (monthly_token_quota >= 0 and monthly_cost_quota_usd >= 0)');
    perform orion_ingest.add_constraint('public.conversations', 'conversations_temperature_check',
        'check (temperature between 0 and 2)');
    perform orion_ingest.add_constraint('public.conversations', 'conversations_max_tokens_check', 'check (max_tokens > 0)');
    perform orion_ingest.add_constraint('public.conversations', 'conversations_totals_check',
        'check (message_count >= 0 and total_tokens_used >= 0 and total_cost_usd >= 0)');
    perform orion_ingest.add_constraint('public.messages', 'messages_usage_check', 'check (tokens_used >= 0 and cost_usd >= 0)');
    perform orion_ingest.add_constraint('public.files', 'files_file_size_check', 'check (file_size >= 0)');
    perform orion_ingest.add_constraint('public.files', 'files_original_name_check',
        'check (original_name <> '''' and length(original_name) <= 1024)');
    perform orion_ingest.add_constraint('public.files', 'files_storage_path_check',
        'check (storage_path <> '''' and length(storage_path) <= 1024)');
    perform orion_ingest.add_constraint('public.files', 'files_mime_type_check', 'check (length(mime_type) <= 255)');
    perform orion_ingest.add_constraint('public.files', 'files_chunk_count_check', 'check (chunk_count >= 0)');
    perform orion_ingest.add_constraint('public.document_chunks', 'document_chunks_content_check', 'check (content <> '''')');
    perform orion_ingest.add_constraint('public.document_chunks', 'document_chunks_chunk_index_check', 'check (chunk_index >= 0)');
    perform orion_ingest.add_constraint('public.document_chunks', 'document_chunks_page_number_check', 'check (page_number >= 1)');
    perform orion_ingest.add_constraint('public.document_chunks', 'document_chunks_token_count_check', 'check (token_count >= 1)');
    perform orion_ingest.add_constraint('public.document_chunks', 'document_chunks_content_sha256_check',
        'check (octet_length(content_sha256) = 32)');
    perform orion_ingest.add_constraint('public.generated_images', 'generated_images_prompt_check',
        'check (prompt <> '''' and model <> '''' and storage_path <> '''')');
    perform orion_ingest.add_constraint('public.generated_images', 'generated_images_cost_check',
        'check (cost_usd >= 0 and generation_time_ms >= 0)');
    perform orion_ingest.add_constraint('public.usage_logs', 'usage_logs_action_check', 'check (action <> '''')');
    perform orion_ingest.add_constraint('public.usage_logs', 'usage_logs_usage_check', 'check (tokens_used >= 0 and cost_usd >= 0)');
    perform orion_ingest.add_constraint('public.system_prompt_templates', 'system_prompt_templates_content_check',
        'check (name <> '''' and content <> '''')');
    perform orion_ingest.add_constraint('public.file_type_configs', 'file_type_configs_mime_type_check',
        'check (mime_type = lower(mime_type) and mime_type ~ ''^[^/; ]+/[^/; ]+$'')');
    perform orion_ingest.add_constraint('public.file_type_configs', 'file_type_configs_extensions_check',
        'check (extensions::text = lower(extensions::text) and array_position(extensions, null) is null)');
    perform orion_ingest.add_constraint('public.file_type_configs', 'file_type_configs_max_file_size_check', 'check (max_file_size > 0)');
    perform orion_ingest.add_constraint('public.file_type_configs', 'file_type_configs_extractor_check', 'check (extractor <> '''')');
    perform orion_ingest.add_constraint('public.file_type_configs', 'file_type_configs_splitter_check',
        'check (splitter in (''prose'', ''markdown'', ''table'', ''code''))');
    -- 8,192 tokens are the most that the provider takes in one input; a chunk of fewer than 16 says nothing.
    perform orion_ingest.add_constraint('public.file_type_configs', 'file_type_configs_chunk_size_check', 'check (chunk_size between 16 and 8192)');
    perform orion_ingest.add_constraint('public.file_type_configs', 'file_type_configs_chunk_overlap_check',
        'check (chunk_overlap >= 0 and chunk_overlap < chunk_size / 2)');
    perform orion_ingest.add_constraint('public.file_type_configs', 'file_type_configs_options_check',
        'check (jsonb_typeof(options) = ''object'')');
end $$;

-- ── Indexes ──────────────────────────────────────────────────────────────────────────────────────────────────────

do $$
declare
    vectors text;
begin
    select format('using ivfflat (embedding %I.vector_cosine_ops) with (lists = 100)', n.nspname) into vectors
    from pg_extension e join pg_namespace n on n.oid = e.extnamespace
    where e.extname = 'vector';

    perform orion_ingest.add_index('index', 'idx_conversations_user_id_updated_at', 'public.conversations', '(user_id, updated_at desc)');
    perform orion_ingest.add_index('index', 'idx_conversations_created_at', 'public.conversations', '(created_at)');
    perform orion_ingest.add_index('index', 'idx_messages_conversation_id_created_at', 'public.messages', '(conversation_id, created_at)');
    perform orion_ingest.add_index('index', 'idx_messages_user_id_created_at', 'public.messages', '(user_id, created_at desc)');
    perform orion_ingest.add_index('index', 'idx_messages_created_at', 'public.messages', '(created_at)');
    perform orion_ingest.add_index('index', 'idx_messages_embedding', 'public.messages', vectors);
    perform orion_ingest.add_index('index', 'idx_archived_messages_user_id', 'public.archived_messages', '(user_id, created_at desc)');
    perform orion_ingest.add_index('index', 'idx_archived_messages_conversation_id', 'public.archived_messages', '(conversation_id, created_at)');
    perform orion_ingest.add_index('index', 'idx_files_user_id_created_at', 'public.files', '(user_id, created_at desc)');
    perform orion_ingest.add_index('index', 'idx_files_conversation_id', 'public.files', '(conversation_id) where conversation_id is not null');
    perform orion_ingest.add_index('index', 'idx_files_created_at', 'public.files', '(created_at)');
    perform orion_ingest.add_index('index', 'idx_document_chunks_user_id', 'public.document_chunks', '(user_id, embedding_model, content_sha256)');
    perform orion_ingest.add_index('index', 'idx_document_chunks_embedding', 'public.document_chunks', vectors);
    perform orion_ingest.add_index('index', 'idx_generated_images_user_id_created_at', 'public.generated_images', '(user_id, created_at desc)');
    perform orion_ingest.add_index('index', 'idx_generated_images_conversation_id', 'public.generated_images', '(conversation_id) where conversation_id is not null');
    perform orion_ingest.add_index('index', 'idx_generated_images_message_id', 'public.generated_images', '(message_id) where message_id is not null');
    perform orion_ingest.add_index('index', 'idx_usage_logs_user_id_created_at', 'public.usage_logs', '(user_id, created_at desc)');
    perform orion_ingest.add_index('index', 'idx_usage_logs_created_at', 'public.usage_logs', '(created_at, action)');
    perform orion_ingest.add_index('index', 'idx_usage_logs_conversation_id', 'public.usage_logs', '(conversation_id) where conversation_id is not null');
    perform orion_ingest.add_index('index', 'idx_usage_logs_message_id', 'public.usage_logs', '(message_id) where message_id is not null');
    perform orion_ingest.add_index('index', 'idx_system_prompt_templates_user_id', 'public.system_prompt_templates', '(user_id)');
    perform orion_ingest.add_index('index', 'idx_user_profiles_total_cost_usd', 'public.user_profiles', '(total_cost_usd desc)');
end $$;

-- ── Who is who ───────────────────────────────────────────────────────────────────────────────────────────────────

-- Other versions of our functions would stop `create or replace`, or make a call ambiguous.
do $$
declare
    old record;
begin
    for old in
        select p.oid::regprocedure as signature from pg_proc p
        where p.pronamespace = 'public'::regnamespace
          and (p.proname in ('active_embedding_model', 'search_similar_chunks', 'search_similar_messages',
                             'archive_old_messages', 'cleanup_orphaned_files', 'generate_sample_data', 'cleanup_test_data')
               or (p.proname = 'is_admin' and p.pronargs = p.pronargdefaults))
          and (p.proname, pg_get_function_identity_arguments(p.oid), coalesce(pg_get_function_result(p.oid), '')) not in (
              ('is_admin', '', 'boolean'),
              ('active_embedding_model', 'target text', 'TABLE(model text, dimensions integer)'),
              ('search_similar_chunks', 'query_embedding vector, match_user_id uuid, match_threshold double precision, match_count integer, query_model text',
               'TABLE(id uuid, file_id uuid, content text, chunk_index integer, page_number integer, heading text, metadata jsonb, similarity double precision)'),
              ('search_similar_messages', 'query_embedding vector, match_user_id uuid, match_conversation_id uuid, match_threshold double precision, match_count integer, query_model text',
               'TABLE(id uuid, conversation_id uuid, role message_role, content text, created_at timestamp with time zone, similarity double precision)'),
              ('archive_old_messages', 'older_than interval, max_rows integer', 'bigint'),
              ('cleanup_orphaned_files', 'bucket text', 'bigint'),
              ('generate_sample_data', 'email text', 'uuid'),
              ('cleanup_test_data', '', 'bigint'))
    loop
        begin
            execute format('drop routine %s', old.signature);
        exception when dependent_objects_still_exist then
            raise exception 'the function % is to be replaced, but others depend on it', old.signature
                using hint = 'Drop those (or rename the function), repeat, and make them again.';
        end;
        raise warning 'replaced the function %', old.signature;
    end loop;
    if obj_description(to_regprocedure('public.is_admin()'), 'pg_proc')
       is distinct from 'Whether the caller''s profile has the role admin.'
       and to_regprocedure('public.is_admin()') is not null
    then
        raise warning 'replaced the function is_admin(): now user_profiles.role says who is an admin';
    end if;
end $$;

-- Reads the profile with the owner's rights: a policy on user_profiles that read user_profiles would never end.
create or replace function public.is_admin() returns boolean
language sql stable security definer set search_path = '' as $$
    select exists (select from public.user_profiles p where p.id = (select auth.uid()) and p.role::text = 'admin')
$$;
comment on function public.is_admin() is 'Whether the caller''s profile has the role admin.';

create or replace function orion_ingest.create_profile() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    -- A sign-up must never fail here: an address that another profile has is left out, not fought over.
    insert into public.user_profiles (id, email, display_name, avatar_url)
    values (
        new.id,
        case when exists (select from public.user_profiles p where p.email = new.email) then null else new.email end,
        coalesce(new.raw_user_meta_data ->> 'full_name', new.raw_user_meta_data ->> 'name', split_part(new.email, '@', 1)),
        new.raw_user_meta_data ->> 'avatar_url'
    )
    on conflict do nothing;
    return null;
end $$;
comment on function orion_ingest.create_profile() is 'Gives a new auth.users row its profile.';

create or replace function orion_ingest.follow_email() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    update public.user_profiles p set email = new.email
    where p.id = new.id
      and not exists (select from public.user_profiles other where other.email = new.email and other.id <> new.id);
    return null;
end $$;
comment on function orion_ingest.follow_email() is 'Keeps user_profiles.email as auth.users has it.';

do $$
begin
    -- Names of our own: the application may have triggers by the usual ones, which stay.
    create or replace trigger orion_ingest_create_profile
        after insert on auth.users for each row execute function orion_ingest.create_profile();
    create or replace trigger orion_ingest_follow_email
        after update of email on auth.users for each row
        when (old.email is distinct from new.email) execute function orion_ingest.follow_email();
exception when insufficient_privilege then
    raise warning 'no right to make triggers on auth.users: new users will have no profile. As its owner run: create trigger orion_ingest_create_profile after insert on auth.users for each row execute function orion_ingest.create_profile();';
end $$;

insert into public.user_profiles (id, email, display_name)
select u.id, u.email, split_part(u.email, '@', 1) from auth.users u
where not exists (select from public.user_profiles p where p.id = u.id)
on conflict do nothing;

-- ── Triggers ─────────────────────────────────────────────────────────────────────────────────────────────────────

create or replace function orion_ingest.touch() returns trigger language plpgsql set search_path = '' as $$
begin
    new.updated_at := now();
    return new;
end $$;
comment on function orion_ingest.touch() is 'Keeps updated_at.';

do $$
declare
    relation text;
begin
    foreach relation in array array['user_profiles', 'conversations', 'files', 'generated_images', 'usage_logs',
                                    'system_prompt_templates', 'file_type_configs']
    loop
        execute format('create or replace trigger set_updated_at before update on public.%I
                        for each row execute function orion_ingest.touch()', relation);
    end loop;
end $$;
-- A vector that is filled in later is no edit.
create or replace trigger set_updated_at
    before update of role, content, provider, model, tokens_used, cost_usd, tool_calls, attachments on public.messages
    for each row execute function orion_ingest.touch();
create or replace trigger set_updated_at
    before update of content, chunk_index, page_number, heading, metadata on public.document_chunks
    for each row execute function orion_ingest.touch();

create or replace function orion_ingest.forget_embedding() returns trigger language plpgsql set search_path = '' as $$
begin
    new.embedding := null;
    new.embedding_model := null;
    return new;
end $$;
comment on function orion_ingest.forget_embedding() is 'Drops the vector of a message whose words changed.';
create or replace trigger forget_embedding
    before update of content on public.messages
    for each row when (old.content is distinct from new.content and old.embedding is not distinct from new.embedding)
    execute function orion_ingest.forget_embedding();

create or replace function orion_ingest.guard_status() returns trigger language plpgsql set search_path = '' as $$
begin
    if new.processing_status <> 'pending'
       and not has_column_privilege('public.files'::regclass, 'chunk_count', 'update') then
        raise exception 'a file''s processing_status can only be set to pending, which asks for a re-ingest'
            using errcode = 'insufficient_privilege';
    end if;
    return new;
end $$;
comment on function orion_ingest.guard_status() is
    'Lets those who do not own the worker''s columns set a file''s status to pending and to nothing else.';
create or replace trigger guard_status
    before update of processing_status on public.files
    for each row when (old.processing_status is distinct from new.processing_status)
    execute function orion_ingest.guard_status();

-- ── Search ───────────────────────────────────────────────────────────────────────────────────────────────────────

create or replace function public.active_embedding_model(target text default 'chunks')
returns table (model text, dimensions integer)
language plpgsql stable security definer set search_path = '' as $$
begin
    if active_embedding_model.target not in ('chunks', 'messages') then
        raise exception 'no vectors called "%": use chunks or messages', active_embedding_model.target
            using errcode = 'invalid_parameter_value';
    end if;
    return query
        select a.model, a.dimensions from orion_ingest.active_models a
        where a.target = active_embedding_model.target;
end $$;
comment on function public.active_embedding_model(text) is
    'The model that queries must be embedded with: target chunks (the default) or messages.';

create or replace function public.check_query_embedding(target text, query_embedding vector, query_model text)
returns text language plpgsql stable set search_path from current as $$
declare
    active record;
begin
    select * into strict active from public.active_embedding_model(check_query_embedding.target);
    if coalesce(query_model, active.model) <> active.model or vector_dims(query_embedding) <> active.dimensions then
        raise exception 'nothing can be searched with a query of % (% dimensions): the active model of % is % (% dimensions)',
                coalesce(query_model, 'an unnamed model'), vector_dims(query_embedding), target, active.model, active.dimensions
            using errcode = 'invalid_parameter_value',
                  hint = 'Embed the query with the model that active_embedding_model() names.';
    end if;
    if vector_norm(query_embedding) = 0 then
        raise exception 'the query''s vector is all zeros, which is like nothing'
            using errcode = 'invalid_parameter_value';
    end if;
    return active.model;
end $$;
comment on function public.check_query_embedding(text, vector, text) is
    'The active model, or an error that names it if a query was made by another.';

-- Up to 10,000 rows of one person are compared one by one: that loses nothing, and is quicker than the index, which has
-- to step over everybody else's. Measured with 60,000 chunks of 203 people in 100 lists, one by one against by index:
-- 0.5 ms and 530 for 95 chunks, 20 and 190 for 1,000, 220 and 180 for 10,000, 440 and 75 for 30,000; the index found
-- 80 to 90 % of the nearest ten. Beyond 10,000 the index answers, from 3 times the square root of its lists, and its
-- scan goes on until enough of the person's own rows are found.
create or replace function public.search_similar_chunks(
    query_embedding vector,
    match_user_id uuid,
    match_threshold double precision default null,
    match_count integer default 5,
    query_model text default null
) returns table (
    id uuid, file_id uuid, content text, chunk_index integer, page_number integer, heading text, metadata jsonb,
    similarity double precision
) language plpgsql stable set search_path from current as $$
#variable_conflict use_column
declare
    wanted constant integer := least(greatest(coalesce(match_count, 5), 0), 200);
    active text;
    lists integer;
    probes text;
    iterative_scan text;
    max_probes text;
    enable_sort text;
begin
    if query_embedding is null or match_user_id is null then
        return;
    end if;
    active := public.check_query_embedding('chunks', query_embedding, query_model);
    -- Admins may read everybody's rows; a search finds one's own.
    if row_security_active('public.document_chunks') and pg_has_role('authenticated', 'usage') then
        if match_user_id is distinct from auth.uid() then
            return;
        end if;
    end if;

    if (select count(*) from (select from public.document_chunks c where c.user_id = match_user_id limit 10001) t) <= 10000 then
        return query
            with nearest as materialized (
                select c.id, c.embedding <=> query_embedding as distance
                from public.document_chunks c
                where c.user_id = match_user_id
                  and c.embedding is not null
                  and (c.embedding_model is null or c.embedding_model = active)
                order by (c.embedding <=> query_embedding) + 0   -- no index has this order
                limit wanted
            )
            select c.id, c.file_id, c.content, c.chunk_index, c.page_number, c.heading, c.metadata, 1 - n.distance
            from nearest n join public.document_chunks c on c.id = n.id
            where match_threshold is null or 1 - n.distance >= match_threshold
            order by n.distance, c.id;
        return;
    end if;

    -- The settings exist since check_query_embedding() has loaded pgvector's library.
    lists := coalesce((
        select substring(array_to_string(c.reloptions, ',') from 'lists=([0-9]+)')::integer
        from pg_class c where c.oid = to_regclass('public.idx_document_chunks_embedding')), 100);
    probes := current_setting('ivfflat.probes');
    iterative_scan := current_setting('ivfflat.iterative_scan');
    max_probes := current_setting('ivfflat.max_probes');
    enable_sort := current_setting('enable_sort');
    perform set_config('ivfflat.probes', least(ceil(3 * sqrt(lists)), 32768)::text, true),
            set_config('ivfflat.iterative_scan', 'relaxed_order', true),
            set_config('ivfflat.max_probes', '32768', true),
            set_config('enable_sort', 'off', true);   -- else the planner takes every row of the person, at any number
    return query
        with nearest as materialized (
            select c.id, c.embedding <=> query_embedding as distance
            from public.document_chunks c
            where c.user_id = match_user_id
              and (c.embedding_model is null or c.embedding_model = active)
            order by c.embedding <=> query_embedding
            limit greatest(4 * wanted, 100)
        )
        select c.id, c.file_id, c.content, c.chunk_index, c.page_number, c.heading, c.metadata, 1 - n.distance
        from nearest n join public.document_chunks c on c.id = n.id
        where match_threshold is null or 1 - n.distance >= match_threshold
        order by n.distance + 0, c.id   -- the index's order is a rough one, which the planner does not know
        limit wanted;
    perform set_config('ivfflat.probes', probes, true),
            set_config('ivfflat.iterative_scan', iterative_scan, true),
            set_config('ivfflat.max_probes', max_probes, true),
            set_config('enable_sort', enable_sort, true);
end $$;
comment on function public.search_similar_chunks(vector, uuid, double precision, integer, text) is
    'The pieces of a person''s files that are most like a query''s vector, best first; at most 200.';

create or replace function public.search_similar_messages(
    query_embedding vector,
    match_user_id uuid,
    match_conversation_id uuid default null,
    match_threshold double precision default null,
    match_count integer default 5,
    query_model text default null
) returns table (
    id uuid, conversation_id uuid, role public.message_role, content text, created_at timestamptz,
    similarity double precision
) language plpgsql stable set search_path from current as $$
#variable_conflict use_column
declare
    wanted constant integer := least(greatest(coalesce(match_count, 5), 0), 200);
    active text;
    lists integer;
    probes text;
    iterative_scan text;
    max_probes text;
    enable_sort text;
begin
    if query_embedding is null or match_user_id is null then
        return;
    end if;
    active := public.check_query_embedding('messages', query_embedding, query_model);
    -- Admins may read everybody's rows; a search finds one's own.
    if row_security_active('public.messages') and pg_has_role('authenticated', 'usage') then
        if match_user_id is distinct from auth.uid() then
            return;
        end if;
    end if;

    if (select count(*) from (select from public.messages m where m.user_id = match_user_id limit 10001) t) <= 10000 then
        return query
            with nearest as materialized (
                select m.id, m.embedding <=> query_embedding as distance
                from public.messages m
                where m.user_id = match_user_id
                  and (match_conversation_id is null or m.conversation_id = match_conversation_id)
                  and m.embedding is not null
                  and (m.embedding_model is null or m.embedding_model = active)
                order by (m.embedding <=> query_embedding) + 0   -- no index has this order
                limit wanted
            )
            select m.id, m.conversation_id, m.role::text::public.message_role, m.content, m.created_at, 1 - n.distance
            from nearest n join public.messages m on m.id = n.id
            where match_threshold is null or 1 - n.distance >= match_threshold
            order by n.distance, m.id;
        return;
    end if;

    -- The settings exist since check_query_embedding() has loaded pgvector's library.
    lists := coalesce((
        select substring(array_to_string(c.reloptions, ',') from 'lists=([0-9]+)')::integer
        from pg_class c where c.oid = to_regclass('public.idx_messages_embedding')), 100);
    probes := current_setting('ivfflat.probes');
    iterative_scan := current_setting('ivfflat.iterative_scan');
    max_probes := current_setting('ivfflat.max_probes');
    enable_sort := current_setting('enable_sort');
    perform set_config('ivfflat.probes', least(ceil(3 * sqrt(lists)), 32768)::text, true),
            set_config('ivfflat.iterative_scan', 'relaxed_order', true),
            set_config('ivfflat.max_probes', '32768', true),
            set_config('enable_sort', 'off', true);   -- else the planner takes every row of the person, at any number
    return query
        with nearest as materialized (
            select m.id, m.embedding <=> query_embedding as distance
            from public.messages m
            where m.user_id = match_user_id
                  and (match_conversation_id is null or m.conversation_id = match_conversation_id)
              and (m.embedding_model is null or m.embedding_model = active)
            order by m.embedding <=> query_embedding
            limit greatest(4 * wanted, 100)
        )
        select m.id, m.conversation_id, m.role::text::public.message_role, m.content, m.created_at, 1 - n.distance
        from nearest n join public.messages m on m.id = n.id
        where match_threshold is null or 1 - n.distance >= match_threshold
        order by n.distance + 0, m.id   -- the index's order is a rough one, which the planner does not know
        limit wanted;
    perform set_config('ivfflat.probes', probes, true),
            set_config('ivfflat.iterative_scan', iterative_scan, true),
            set_config('ivfflat.max_probes', max_probes, true),
            set_config('enable_sort', enable_sort, true);
end $$;
comment on function public.search_similar_messages(vector, uuid, uuid, double precision, integer, text) is
    'A person''s messages, of one conversation or all, that are most like a query''s vector, best first; at most 200.';

-- ── Upkeep ───────────────────────────────────────────────────────────────────────────────────────────────────────

create or replace function public.archive_old_messages(
    older_than interval default '1 year', max_rows integer default 100000
) returns bigint language sql volatile set search_path = '' as $$
    with old as (
        select m.id from public.messages m
        where m.created_at < now() - older_than
        order by m.created_at
        limit max_rows
        for update skip locked
    ), moved as (
        delete from public.messages m using old where m.id = old.id returning m.*
    ), archived as (
        insert into public.archived_messages (id, conversation_id, user_id, role, content, provider, model,
            tokens_used, cost_usd, tool_calls, attachments, created_at, updated_at)
        select id, conversation_id, user_id, role::text::public.message_role, content,
            provider::text::public.model_provider, model, tokens_used, cost_usd, tool_calls, attachments, created_at, updated_at
        from moved
        returning 1
    )
    select count(*) from archived
$$;
comment on function public.archive_old_messages(interval, integer) is
    'Moves messages older than a year to archived_messages, oldest first, and returns how many.';

create or replace function public.cleanup_orphaned_files(bucket text default 'documents') returns bigint
language plpgsql volatile set search_path = '' as $$
declare
    removed bigint;
begin
    -- Where storage.objects has never heard of the bucket, the objects lie elsewhere.
    if not exists (select from storage.objects o where o.bucket_id = bucket) then
        raise warning 'storage.objects knows nothing of the bucket %: nothing was deleted', bucket;
        return 0;
    end if;
    delete from public.files f
    where f.created_at < now() - interval '24 hours'
      and not exists (select from storage.objects o where o.bucket_id = bucket and o.name = f.storage_path);
    get diagnostics removed = row_count;
    return removed;
end $$;
comment on function public.cleanup_orphaned_files(text) is
    'Deletes files rows older than 24 hours whose object is gone, never objects, and returns how many.';

create or replace function public.generate_sample_data(email text) returns uuid
language plpgsql volatile security definer set search_path = '' as $$
declare
    person uuid;
    conversation uuid;
    message uuid;
    topic text;
begin
    select u.id into person from auth.users u where u.email = generate_sample_data.email;
    if person is null then
        person := gen_random_uuid();
        insert into auth.users (id, email, raw_app_meta_data, raw_user_meta_data)
        values (person, generate_sample_data.email, '{"sample": true}', '{"full_name": "Sample Person"}');
    end if;
    insert into public.user_profiles (id, email) values (person, generate_sample_data.email) on conflict do nothing;

    foreach topic in array array['Planning a trip', 'Reading a contract', 'Learning SQL'] loop
        insert into public.conversations (user_id, title, system_prompt, message_count, metadata)
        values (person, topic, 'You are a helpful assistant.', 4, '{"sample": true}')
        returning id into conversation;
        insert into public.messages (conversation_id, user_id, role, content, provider, model, tokens_used, created_at)
        select conversation, person, said.role::public.message_role, said.content,
               case when said.role = 'assistant' then 'openai'::public.model_provider end,
               case when said.role = 'assistant' then 'gpt-4o-mini' end,
               length(said.content) / 4, now() - make_interval(mins => 10 - said.place)
        from (values
            (1, 'user', topic || ': where do I begin?'),
            (2, 'assistant', 'With what you want to have at the end. Tell me in one sentence.'),
            (3, 'user', 'I would like to understand it well enough to explain it to a friend.'),
            (4, 'assistant', 'Then write the explanation first, and let us look for its gaps.')
        ) as said (place, role, content);
        select m.id into strict message from public.messages m
        where m.conversation_id = conversation order by m.created_at desc limit 1;
        insert into public.usage_logs (user_id, conversation_id, message_id, action, provider, model, tokens_used, cost_usd, metadata)
        values (person, conversation, message, 'chat', 'openai', 'gpt-4o-mini', 60, 0.000018, '{"sample": true}');
    end loop;
    insert into public.generated_images (user_id, conversation_id, prompt, model, storage_path, dimensions, format,
        generation_time_ms, cost_usd, metadata)
    values (person, conversation, 'A lighthouse at dusk', 'flux-schnell', person || '/sample.webp', '1024x1024', 'webp',
        1800, 0.003, '{"sample": true}');
    insert into public.system_prompt_templates (user_id, name, content, category)
    select person, 'Sample: plain words', 'Answer in plain words.', 'sample'
    where not exists (select from public.system_prompt_templates t where t.user_id = person and t.category = 'sample');
    return person;
end $$;
comment on function public.generate_sample_data(text) is
    'For development: conversations, messages, usage and a picture for the person with this address, who is made if need be; returns the person''s id. Files come from uploads, so there are none.';

create or replace function public.cleanup_test_data() returns bigint
language plpgsql volatile security definer set search_path = '' as $$
declare
    removed bigint := 0;
    step bigint;
begin
    delete from public.usage_logs l where l.metadata @> '{"sample": true}';
    get diagnostics step = row_count;
    removed := removed + step;
    delete from public.generated_images i where i.metadata @> '{"sample": true}';
    get diagnostics step = row_count;
    removed := removed + step;
    delete from public.conversations c where c.metadata @> '{"sample": true}';
    get diagnostics step = row_count;
    removed := removed + step;
    delete from public.system_prompt_templates t where t.user_id is not null and t.category = 'sample';
    get diagnostics step = row_count;
    removed := removed + step;
    delete from auth.users u where u.raw_app_meta_data @> '{"sample": true}';
    get diagnostics step = row_count;
    return removed + step;
end $$;
comment on function public.cleanup_test_data() is
    'Removes what generate_sample_data() made, people included if it made them, and returns the number of rows deleted (not counting those that go with them).';

-- ── Views ────────────────────────────────────────────────────────────────────────────────────────────────────────

do $$ begin perform orion_ingest.drop_view('performance_stats'); end $$;
create view public.performance_stats with (security_invoker = true) as
select
    s.schemaname as schema_name,
    s.relname as table_name,
    s.n_live_tup as live_rows,
    s.n_dead_tup as dead_rows,
    pg_table_size(s.relid) as table_bytes,
    pg_indexes_size(s.relid) as index_bytes,
    pg_total_relation_size(s.relid) as total_bytes,
    s.seq_scan as sequential_scans,
    s.idx_scan as index_scans,
    greatest(s.last_vacuum, s.last_autovacuum) as last_vacuum_at,
    greatest(s.last_analyze, s.last_autoanalyze) as last_analyze_at,
    pg_database_size(current_database()) as database_bytes
from pg_stat_user_tables s
where s.schemaname in ('public', 'orion_ingest')
  and (current_user not in ('anon', 'authenticated') or (select public.is_admin()))
order by total_bytes desc;
comment on view public.performance_stats is 'Size and use of each table; for admins and the back end.';
do $$ begin perform orion_ingest.view_made('performance_stats'); end $$;

do $$ begin perform orion_ingest.drop_view('user_activity_summary'); end $$;
create view public.user_activity_summary with (security_invoker = true) as
select
    p.id as user_id,
    p.email,
    p.display_name,
    c.conversation_count,
    m.message_count,
    f.file_count,
    f.failed_file_count,
    f.chunk_count,
    f.file_bytes,
    l.tokens_used_30_days,
    l.cost_usd_30_days,
    p.total_tokens_used,
    p.total_cost_usd,
    greatest(c.last_at, m.last_at, f.last_at) as last_active_at
from public.user_profiles p
cross join lateral (
    select count(*) as conversation_count, max(created_at) as last_at
    from public.conversations where user_id = p.id
) c
cross join lateral (
    select count(*) as message_count, max(created_at) as last_at from public.messages where user_id = p.id
) m
cross join lateral (
    select count(*) as file_count,
           count(*) filter (where processing_status = 'failed') as failed_file_count,
           coalesce(sum(chunk_count), 0) as chunk_count,
           coalesce(sum(file_size), 0) as file_bytes,
           max(created_at) as last_at
    from public.files where user_id = p.id
) f
cross join lateral (
    select coalesce(sum(tokens_used), 0) as tokens_used_30_days, coalesce(sum(cost_usd), 0) as cost_usd_30_days
    from public.usage_logs where user_id = p.id and created_at > now() - interval '30 days'
) l;
comment on view public.user_activity_summary is 'What each person has and does. Row-level security applies: people see their own line, admins all.';
do $$ begin perform orion_ingest.view_made('user_activity_summary'); end $$;

-- ── Rights ───────────────────────────────────────────────────────────────────────────────────────────────────────
-- Old Supabase projects grant everything on new tables to everybody, new ones nothing: say all of it.

do $$
declare
    relation text;
begin
    foreach relation in array array['user_profiles', 'conversations', 'messages', 'archived_messages', 'files',
        'document_chunks', 'generated_images', 'usage_logs', 'system_prompt_templates', 'file_type_configs']
    loop
        execute format('alter table public.%I enable row level security', relation);
        execute format('revoke all on public.%I from public, anon, authenticated', relation);
        execute format('grant select, insert, update, delete on public.%I to service_role', relation);
        perform orion_ingest.add_policy(('public.' || relation)::regclass, 'The back end may do everything',
            'all', 'service_role', 'true', 'true');
    end loop;
end $$;
revoke all on public.performance_stats, public.user_activity_summary from public, anon, authenticated;
grant select on public.performance_stats, public.user_activity_summary to authenticated, service_role;

grant select on public.user_profiles to authenticated;
grant update (display_name, avatar_url, preferred_model_provider, preferred_model_name) on public.user_profiles to authenticated;

grant select, delete on public.conversations to authenticated;
grant insert (id, user_id, title, model_provider, model_name, temperature, max_tokens, system_prompt, document_chat, image_generation, web_search),
    update (title, model_provider, model_name, temperature, max_tokens, system_prompt, document_chat, image_generation, web_search)
    on public.conversations to authenticated;

grant select, delete on public.messages to authenticated;
grant insert (id, conversation_id, user_id, role, content, provider, model, tokens_used, cost_usd, tool_calls, attachments),
    update (content, provider, model, tokens_used, cost_usd, tool_calls, attachments)
    on public.messages to authenticated;

grant select, delete on public.archived_messages to authenticated;

grant select, delete on public.files to authenticated;
grant insert (id, user_id, conversation_id, original_name, storage_path, mime_type, file_size),
    update (original_name, processing_status)
    on public.files to authenticated;

grant select on public.document_chunks to authenticated;

grant select, delete on public.generated_images to authenticated;
grant insert (id, user_id, conversation_id, message_id, prompt, model, storage_path, dimensions, format, generation_time_ms)
    on public.generated_images to authenticated;

grant select on public.usage_logs to authenticated;

grant select, insert (id, user_id, name, description, content, category, is_public),
    update (name, description, content, category, is_public), delete
    on public.system_prompt_templates to authenticated;

grant select, insert, update, delete on public.file_type_configs to authenticated;

revoke all on all tables in schema orion_ingest from public, anon, authenticated;
revoke all on all functions in schema orion_ingest from public, anon, authenticated;

revoke all on function public.is_admin(), public.active_embedding_model(text),
    public.check_query_embedding(text, vector, text),
    public.search_similar_chunks(vector, uuid, double precision, integer, text),
    public.search_similar_messages(vector, uuid, uuid, double precision, integer, text),
    public.archive_old_messages(interval, integer), public.cleanup_orphaned_files(text),
    public.generate_sample_data(text), public.cleanup_test_data()
    from public, anon, authenticated;
grant execute on function public.is_admin(), public.active_embedding_model(text),
    public.check_query_embedding(text, vector, text),
    public.search_similar_chunks(vector, uuid, double precision, integer, text),
    public.search_similar_messages(vector, uuid, uuid, double precision, integer, text)
    to authenticated, service_role;
grant execute on function public.archive_old_messages(interval, integer), public.cleanup_orphaned_files(text),
    public.generate_sample_data(text), public.cleanup_test_data()
    to service_role;

-- (select …) makes Postgres ask once a statement instead of once a row.
do $$
declare
    own constant text := 'user_id = (select auth.uid())';
    own_or_admin constant text := 'user_id = (select auth.uid()) or (select public.is_admin())';
    admin constant text := '(select public.is_admin())';
    relation text;
begin
    perform orion_ingest.add_policy('public.user_profiles', 'Users can view own profile', 'select', 'authenticated',
        'id = (select auth.uid()) or (select public.is_admin())');
    perform orion_ingest.add_policy('public.user_profiles', 'Users can update own profile', 'update', 'authenticated',
        'id = (select auth.uid())', 'id = (select auth.uid())');

    foreach relation in array array['conversations', 'messages', 'archived_messages', 'files', 'document_chunks',
        'generated_images', 'usage_logs']
    loop
        perform orion_ingest.add_policy(('public.' || relation)::regclass,
            format('Users can view own %s', replace(relation, '_', ' ')), 'select', 'authenticated', own_or_admin);
    end loop;
    foreach relation in array array['conversations', 'messages', 'files', 'generated_images'] loop
        perform orion_ingest.add_policy(('public.' || relation)::regclass,
            format('Users can create own %s', replace(relation, '_', ' ')), 'insert', 'authenticated', null, own);
    end loop;
    foreach relation in array array['conversations', 'messages', 'files'] loop
        perform orion_ingest.add_policy(('public.' || relation)::regclass,
            format('Users can update own %s', replace(relation, '_', ' ')), 'update', 'authenticated', own, own);
    end loop;
    foreach relation in array array['conversations', 'messages', 'archived_messages', 'files', 'generated_images'] loop
        perform orion_ingest.add_policy(('public.' || relation)::regclass,
            format('Users can delete own %s', replace(relation, '_', ' ')), 'delete', 'authenticated', own);
    end loop;

    perform orion_ingest.add_policy('public.system_prompt_templates', 'Users can view own and public templates', 'select',
        'authenticated', 'is_public or ' || own_or_admin);
    perform orion_ingest.add_policy('public.system_prompt_templates', 'Users can create own templates', 'insert',
        'authenticated', null, '(' || own || ' and not is_public) or ' || admin);
    perform orion_ingest.add_policy('public.system_prompt_templates', 'Users can update own templates', 'update',
        'authenticated', own_or_admin, '(' || own || ' and not is_public) or ' || admin);
    perform orion_ingest.add_policy('public.system_prompt_templates', 'Users can delete own templates', 'delete',
        'authenticated', own_or_admin);

    perform orion_ingest.add_policy('public.file_type_configs', 'Users can view file types', 'select',
        'authenticated', 'true');
    perform orion_ingest.add_policy('public.file_type_configs', 'Admins can create file types', 'insert',
        'authenticated', null, admin);
    perform orion_ingest.add_policy('public.file_type_configs', 'Admins can update file types', 'update',
        'authenticated', admin, admin);
    perform orion_ingest.add_policy('public.file_type_configs', 'Admins can delete file types', 'delete',
        'authenticated', admin);
end $$;

-- ── Storage and Realtime ─────────────────────────────────────────────────────────────────────────────────────────

do $$
declare
    own constant text :=
        'bucket_id in (''documents'', ''images'') and (storage.foldername(name))[1] = (select auth.uid())::text';
begin
    insert into storage.buckets (id, name, public)
    values ('documents', 'documents', false), ('images', 'images', false)
    on conflict do nothing;
    perform orion_ingest.add_policy('storage.objects', 'Users can view own objects', 'select', 'authenticated', own);
    perform orion_ingest.add_policy('storage.objects', 'Users can upload own objects', 'insert', 'authenticated', null, own);
    perform orion_ingest.add_policy('storage.objects', 'Users can update own objects', 'update', 'authenticated', own, own);
    perform orion_ingest.add_policy('storage.objects', 'Users can delete own objects', 'delete', 'authenticated', own);
exception when insufficient_privilege then
    raise warning 'no right to set up storage (%): in the Supabase dashboard, under Storage, make the private buckets documents and images, and under Storage > Policies, for each of select, insert, update and delete, a policy for authenticated with: %',
        sqlerrm, own;
end $$;

do $$
declare
    relation text;
begin
    if exists (select from pg_publication where pubname = 'supabase_realtime' and not puballtables) then
        foreach relation in array array['conversations', 'messages', 'files'] loop
            if not exists (
                select from pg_publication_tables
                where pubname = 'supabase_realtime' and schemaname = 'public' and tablename = relation
            ) then
                execute format('alter publication supabase_realtime add table public.%I', relation);
            end if;
        end loop;
    end if;
exception when insufficient_privilege then
    raise warning 'no right to change the publication supabase_realtime (%): in the Supabase dashboard, under Database > Publications, add conversations, messages and files',
        sqlerrm;
end $$;

reset search_path;
reset client_min_messages;
