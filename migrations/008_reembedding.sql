-- Re-embedding: a second column of vectors beside the active one, what is left to fill of it, and the swap of the two.
--
-- While there is a re-embedding, document_chunks has the columns embedding_next and embedding_next_model: vectors of the
-- model that the next swap leads to, a cutover or a rollback. The functions here name these columns although they are
-- not there yet: PL/pgSQL looks them up when a statement runs.

set client_min_messages = warning;

do $$
begin
    perform set_config('search_path', format('%I, public, pg_temp', n.nspname), false)
    from pg_extension e join pg_namespace n on n.oid = e.extnamespace
    where e.extname = 'vector';
end $$;

-- ── State ────────────────────────────────────────────────────────────────────────────────────────────────────────

create table if not exists orion_ingest.reembeddings (
    target text primary key references orion_ingest.active_models (target) check (target = 'chunks'),
    model text not null check (model <> ''),
    dimensions integer not null check (dimensions between 1 and 2000),
    phase text not null default 'filling' check (phase in ('filling', 'cut_over', 'rolled_back', 'finishing')),
    rows_planned bigint check (rows_planned >= 0),
    rows_done bigint not null default 0,
    bytes_before bigint not null,
    bytes_peak bigint not null,
    started_at timestamptz not null default now(),
    swapped_at timestamptz
) with (fillfactor = 50);
comment on table orion_ingest.reembeddings is 'The re-embedding under way, from its plan until it is finished. A swap locks the row.';
comment on column orion_ingest.reembeddings.target is 'Of which vectors, as in active_models.';
comment on column orion_ingest.reembeddings.model is 'The model of embedding_next: the new one until the cutover, then the one from before.';
comment on column orion_ingest.reembeddings.dimensions is 'Length of its vectors; pgvector can''t index more than 2,000.';
comment on column orion_ingest.reembeddings.phase is 'filling: never swapped, so that embedding_next can''t be searched yet; cut_over; rolled_back; finishing: it is being emptied.';
comment on column orion_ingest.reembeddings.rows_planned is 'Chunks when it was planned; null until all of them are divided into slices.';
comment on column orion_ingest.reembeddings.rows_done is 'Vectors written since then.';
comment on column orion_ingest.reembeddings.bytes_before is 'Size of document_chunks with its indexes when it was planned.';
comment on column orion_ingest.reembeddings.bytes_peak is 'The largest size that was seen since.';
comment on column orion_ingest.reembeddings.started_at is 'When it was planned.';
comment on column orion_ingest.reembeddings.swapped_at is 'When it was last cut over or rolled back.';

create table if not exists orion_ingest.reembedding_slices (
    id bigint generated always as identity primary key,
    target text not null references orion_ingest.reembeddings (target) on delete cascade,
    from_id uuid,
    to_id uuid,
    file_id uuid,
    due_at timestamptz not null default now(),
    lease_token uuid,
    unique (target, file_id),
    check (num_nonnulls(from_id, to_id) = case when file_id is null then 2 else 0 end)
) with (fillfactor = 70);
create index if not exists reembedding_slices_due_at_idx on orion_ingest.reembedding_slices (target, due_at);
comment on table orion_ingest.reembedding_slices is 'What is left to fill; a slice that is done is deleted.';
comment on column orion_ingest.reembedding_slices.id is 'Key.';
comment on column orion_ingest.reembedding_slices.target is 'Of which re-embedding.';
comment on column orion_ingest.reembedding_slices.from_id is 'The first chunk, by id, of those that were there when it was planned.';
comment on column orion_ingest.reembedding_slices.to_id is 'The last one.';
comment on column orion_ingest.reembedding_slices.file_id is 'Or: the chunks of this file, which came since.';
comment on column orion_ingest.reembedding_slices.due_at is 'When it may next be claimed: back-off and lease end in one.';
comment on column orion_ingest.reembedding_slices.lease_token is 'Whose it is; null when nobody holds it.';

create table if not exists orion_ingest.reembedding_skips (
    target text not null references orion_ingest.reembeddings (target) on delete cascade,
    row_id uuid not null,
    model text not null,
    reason text not null,
    primary key (target, row_id, model)
);
comment on table orion_ingest.reembedding_skips is 'Texts that the provider refuses: they have no vector of that model.';
comment on column orion_ingest.reembedding_skips.target is 'Of which re-embedding.';
comment on column orion_ingest.reembedding_skips.row_id is 'The chunk.';
comment on column orion_ingest.reembedding_skips.model is 'The model that refuses it.';
comment on column orion_ingest.reembedding_skips.reason is 'Why, for people.';

alter table orion_ingest.embedding_requests add column if not exists is_reembedding boolean not null default false;
comment on column orion_ingest.embedding_requests.is_reembedding is 'Whether an operator''s re-embedding asked: booked as such, and charged to no quota.';

-- ── Filling ──────────────────────────────────────────────────────────────────────────────────────────────────────

create or replace function orion_ingest.slice_added() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    -- Ordered, so that two commits of many files can't wait for each other.
    insert into orion_ingest.reembedding_slices as s (target, file_id)
    select distinct 'chunks', a.file_id
    from added a
    where exists (select from orion_ingest.reembeddings r where r.target = 'chunks')
    order by a.file_id
    on conflict (target, file_id) do update set due_at = now(), lease_token = null;
    return null;
end $$;
comment on function orion_ingest.slice_added() is
    'Notes the files whose chunks came during a re-embedding. Whoever holds such a slice loses it, since its chunks are new ones.';

create or replace function orion_ingest.begin_reembedding(to_model text, to_dimensions integer) returns void
language plpgsql set search_path from current as $$
declare
    size constant bigint := pg_total_relation_size('public.document_chunks');
begin
    insert into orion_ingest.reembeddings (target, model, dimensions, bytes_before, bytes_peak)
    values ('chunks', to_model, to_dimensions, size, size);
    execute format('alter table public.document_chunks
        add column embedding_next vector(%s), add column embedding_next_model text', to_dimensions);
    comment on column public.document_chunks.embedding_next is
        'Vector of the embedded text by the model that the next swap of a re-embedding leads to.';
    comment on column public.document_chunks.embedding_next_model is 'Model that made embedding_next.';
    create trigger slice_added after insert on public.document_chunks referencing new table as added
        for each statement execute function orion_ingest.slice_added();
end $$;
comment on function orion_ingest.begin_reembedding(text, integer) is
    'Adds the second column, which rewrites nothing; from now on what is added is noted.';

create or replace function orion_ingest.slice_chunks(rows_a_slice integer) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    planned bigint;
begin
    -- Once: a second caller waits here, and finds it done.
    perform from orion_ingest.reembeddings r where r.target = 'chunks' and r.rows_planned is null for no key update;
    if not found then
        return;
    end if;
    with numbered as (
        select c.id, (row_number() over (order by c.id) - 1) / rows_a_slice as slice from public.document_chunks c
    ), slices as (
        -- uuid has no min() before PostgreSQL 18.
        select (array_agg(n.id order by n.id))[1] as from_id, (array_agg(n.id order by n.id desc))[1] as to_id,
            count(*) as size
        from numbered n
        group by n.slice
    ), added as (
        insert into orion_ingest.reembedding_slices (target, from_id, to_id)
        select 'chunks', s.from_id, s.to_id from slices s
    )
    select coalesce(sum(s.size), 0) into planned from slices s;
    update orion_ingest.reembeddings r set rows_planned = planned where r.target = 'chunks';
end $$;
comment on function orion_ingest.slice_chunks(integer) is 'Divides the chunks that there are into slices, by an index-only scan.';

-- Files first, so that what is added does not grow old; many of them at once, since most are small.
create or replace function orion_ingest.claim_slices(holder uuid, by_model text, lease_for interval) returns setof bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    -- After a swap what is left is another model's.
    perform from orion_ingest.reembeddings r
    where r.target = 'chunks' and r.model = by_model and r.phase <> 'finishing'
    for share;
    if not found then
        return;
    end if;
    return query
        with due as materialized (   -- a plain subquery may run more than once
            select d.id from orion_ingest.reembedding_slices d
            where d.target = 'chunks' and d.due_at <= now() and d.file_id is not null
            order by d.due_at
            limit 50
            for update skip locked
        )
        update orion_ingest.reembedding_slices s
        set lease_token = holder, due_at = now() + lease_for
        from due where s.id = due.id
        returning s.id;
    if found then
        return;
    end if;
    return query
        with due as materialized (
            select d.id from orion_ingest.reembedding_slices d
            where d.target = 'chunks' and d.due_at <= now()
            order by d.due_at
            limit 1
            for update skip locked
        )
        update orion_ingest.reembedding_slices s
        set lease_token = holder, due_at = now() + lease_for
        from due where s.id = due.id
        returning s.id;
end $$;
comment on function orion_ingest.claim_slices(uuid, text, interval) is 'Leases one slice, or those of many files, to holder, who fills them by that model.';

create or replace function orion_ingest.slice_rows(slices bigint[])
returns table (id uuid, user_id uuid, embedded_text text)
language plpgsql set search_path = pg_catalog, pg_temp
-- A plan made while the table was small must not read it whole when it has grown.
set enable_seqscan = off
as $$
#variable_conflict use_column
begin
    return query
        with held as materialized (
            select s.target, s.from_id, s.to_id, s.file_id from orion_ingest.reembedding_slices s where s.id = any (slices)
        ), wanted as (
            select c.id, c.user_id, c.metadata, c.content from held h join public.document_chunks c on c.file_id = h.file_id
            where c.embedding_next is null
            union all
            select c.id, c.user_id, c.metadata, c.content
            from held h join public.document_chunks c on c.id between h.from_id and h.to_id
            -- A file that came since is a slice of its own.
            where c.embedding_next is null
              and not exists (select from orion_ingest.reembedding_slices o where o.target = h.target and o.file_id = c.file_id)
        )
        select w.id, w.user_id, coalesce(w.metadata ->> 'prefix', '') || w.content
        from wanted w
        where not exists (
            select from orion_ingest.reembedding_skips k
            join orion_ingest.reembeddings r on r.target = k.target and r.model = k.model
            where k.target = 'chunks' and k.row_id = w.id);
end $$;
comment on function orion_ingest.slice_rows(bigint[]) is 'The chunks of slices that have no vector yet, and the text to embed.';

create or replace function orion_ingest.fill_chunks(by_model text, ids uuid[], vectors vector[]) returns bigint
language plpgsql set search_path from current as $$
declare
    filled bigint;
begin
    -- Before anything else is looked at: locks out a swap until the end of this transaction.
    lock table public.document_chunks in row exclusive mode;
    if not exists (select from orion_ingest.reembeddings r
                   where r.target = 'chunks' and r.model = by_model and r.dimensions = vector_dims(vectors[1])
                     and r.phase <> 'finishing') then
        return 0;
    end if;
    update public.document_chunks c
    set embedding_next = v.embedding, embedding_next_model = by_model
    from unnest(ids, vectors) as v (id, embedding)
    where c.id = v.id and c.embedding_next is null;
    get diagnostics filled = row_count;
    update orion_ingest.reembeddings r set rows_done = r.rows_done + filled where r.target = 'chunks';
    return filled;
end $$;
comment on function orion_ingest.fill_chunks(text, uuid[], vector[]) is
    'Writes vectors of that model where there are none, and says how many; none if the re-embedding is another one by now.';

-- ── The swap ─────────────────────────────────────────────────────────────────────────────────────────────────────

create or replace function orion_ingest.swap_name(form text, one text, other text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    execute format(form, one, one || '_swapped');
    execute format(form, other, one);
    execute format(form, one || '_swapped', other);
end $$;
comment on function orion_ingest.swap_name(text, text, text) is
    'Gives each of two things the other''s name; form is a statement with both names as %I.';

create or replace function orion_ingest.swap_chunks(cut_over boolean) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    r orion_ingest.reembeddings;
    active orion_ingest.active_models;
    column_form constant text := 'alter table public.document_chunks rename column %I to %I';
    index_form constant text := 'alter index if exists public.%I rename to %I';
begin
    select * into strict r from orion_ingest.reembeddings o where o.target = 'chunks' for update;
    -- Whoever comes second would swap back.
    if r.phase <> all (case when swap_chunks.cut_over then array['filling', 'rolled_back'] else array['cut_over'] end) then
        raise exception 'somebody else was first: the re-embedding is % by now', r.phase
            using errcode = 'object_not_in_prerequisite_state', hint = 'See `orion-ingest reembed status`.';
    end if;
    if exists (select from orion_ingest.reembedding_slices s where s.target = 'chunks') then
        return false;
    end if;
    select * into strict active from orion_ingest.active_models a where a.target = 'chunks' for update;
    perform orion_ingest.swap_name(column_form, 'embedding', 'embedding_next'),
            orion_ingest.swap_name(column_form, 'embedding_model', 'embedding_next_model'),
            orion_ingest.swap_name(index_form, 'idx_document_chunks_embedding', 'idx_document_chunks_embedding_next'),
            orion_ingest.swap_name(index_form, 'idx_document_chunks_user_id', 'idx_document_chunks_user_id_next');
    comment on column public.document_chunks.embedding is 'Vector of the embedded text.';
    comment on column public.document_chunks.embedding_model is 'Model that made the vector; null beside a vector means the active one.';
    comment on column public.document_chunks.embedding_next is
        'Vector of the embedded text by the model that the next swap of a re-embedding leads to.';
    comment on column public.document_chunks.embedding_next_model is 'Model that made embedding_next.';
    update orion_ingest.active_models a
    set model = r.model, dimensions = r.dimensions, activated_at = now()
    where a.target = 'chunks';
    update orion_ingest.reembeddings o
    set model = active.model, dimensions = active.dimensions, swapped_at = now(),
        phase = case when swap_chunks.cut_over then 'cut_over' else 'rolled_back' end
    where o.target = 'chunks';
    return true;
end $$;
comment on function orion_ingest.swap_chunks(boolean) is
    'Swaps names of columns and indexes, and the active model, under the caller''s lock on the table; false, and nothing done, while rows are left to fill.';

create or replace function orion_ingest.empty_chunks(after_id uuid, max_rows integer) returns uuid
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    last_id uuid;
begin
    select (array_agg(c.id order by c.id desc))[1] into last_id
    from (select d.id from public.document_chunks d where d.id > after_id order by d.id limit max_rows) c;
    update public.document_chunks c
    set embedding_next = null, embedding_next_model = null
    where c.id > after_id and c.id <= last_id and c.embedding_next is not null;
    return last_id;
end $$;
comment on function orion_ingest.empty_chunks(uuid, integer) is
    'Empties the second column of so many chunks beyond an id; the last one''s, or null when there were none.';

create or replace function orion_ingest.end_reembedding() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    drop trigger slice_added on public.document_chunks;
    -- The indexes over these columns go with them.
    alter table public.document_chunks drop column embedding_next, drop column embedding_next_model;
    delete from orion_ingest.reembeddings r where r.target = 'chunks';
end $$;
comment on function orion_ingest.end_reembedding() is 'Drops the second column and all that is known of the re-embedding.';

-- ── Search ───────────────────────────────────────────────────────────────────────────────────────────────────────

-- Volatile, and so with a new snapshot for each statement, also where its caller has an old one: what is read after the
-- lock is true until the transaction ends.
create or replace function public.searchable_chunks(
    query_embedding vector, query_model text, out vectors text, out model text
) language plpgsql volatile security definer set search_path from current as $$
declare
    active record;
    other record;
begin
    -- Locks the table against a swap, as every query does: without a row.
    perform from public.document_chunks limit 0;
    select a.model, a.dimensions into strict active from orion_ingest.active_models a where a.target = 'chunks';
    if coalesce(query_model, active.model) = active.model and vector_dims(query_embedding) = active.dimensions then
        vectors := 'embedding';
        model := active.model;
    else
        -- The model from before stays searchable until the re-embedding is finished.
        select r.model into other from orion_ingest.reembeddings r
        where r.target = 'chunks' and r.phase in ('cut_over', 'rolled_back')
          and coalesce(query_model, r.model) = r.model and vector_dims(query_embedding) = r.dimensions;
        if not found then
            raise exception 'nothing can be searched with a query of % (% dimensions): the active model of chunks is % (% dimensions)',
                    coalesce(query_model, 'an unnamed model'), vector_dims(query_embedding), active.model, active.dimensions
                using errcode = 'invalid_parameter_value',
                      hint = 'Embed the query with the model that active_embedding_model() names.';
        end if;
        vectors := 'embedding_next';
        model := other.model;
    end if;
    if vector_norm(query_embedding) = 0 then
        raise exception 'the query''s vector is all zeros, which is like nothing'
            using errcode = 'invalid_parameter_value';
    end if;
end $$;
comment on function public.searchable_chunks(vector, text) is
    'The column of document_chunks with vectors of the query''s model, by its name or its dimensions, held until the transaction ends; or an error that names the active model.';
revoke all on function public.searchable_chunks(vector, text) from public, anon, authenticated;
grant execute on function public.searchable_chunks(vector, text) to authenticated, service_role, orion_ingest;

create or replace function public.search_effort(target text, out one_by_one bigint, out probes integer)
language sql stable set search_path = pg_catalog, pg_temp as $$
    select
        case
            when i.method = 'ivfflat' then greatest(20000, i.rows * i.probes / i.lists / 3)::bigint
            when i.method = 'hnsw' then greatest(10000, sqrt(1000 * i.rows))::bigint
            else 9223372036854775806 -- no index, or none of ours
        end,
        i.probes
    from (
        select *, least(ceil(8 * sqrt(shape.lists)), shape.lists, 32768)::integer as probes
        from (
            select
                greatest(t.reltuples, 0)::double precision as rows,
                a.amname as method,
                coalesce(substring(array_to_string(x.reloptions, ',') from 'lists=([0-9]+)')::integer, 100) as lists
            from pg_catalog.pg_class t
            left join pg_catalog.pg_class x
                on x.oid = to_regclass(case search_effort.target
                    when 'chunks' then 'public.idx_document_chunks_embedding'
                    when 'chunks_next' then 'public.idx_document_chunks_embedding_next'
                    else 'public.idx_messages_embedding' end)
            left join pg_catalog.pg_am a on a.oid = x.relam
            where t.oid = case search_effort.target
                when 'messages' then 'public.messages'::regclass else 'public.document_chunks'::regclass end
        ) shape
    ) i
$$;
comment on function public.search_effort(text) is
    'How a search goes about it, by size and index of its table (target chunks, chunks_next for the second column of a re-embedding, or messages): up to how many rows of a person are compared one by one, and how many lists of an IVFFlat index are probed for those who have more.';

-- As before, over the column that the query is for.
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
    searched record;
    effort record;
    names constant text[] := array['ivfflat.probes', 'ivfflat.iterative_scan', 'ivfflat.max_probes',
                                   'hnsw.ef_search', 'hnsw.iterative_scan', 'hnsw.max_scan_tuples', 'hnsw.scan_mem_multiplier',
                                   'enable_sort'];
    were text[];
begin
    if query_embedding is null or match_user_id is null then
        return;
    end if;
    searched := public.searchable_chunks(query_embedding, query_model);
    -- Admins may read everybody's rows; a search finds one's own.
    if row_security_active('public.document_chunks') and pg_has_role('authenticated', 'usage') then
        if match_user_id is distinct from auth.uid() then
            return;
        end if;
    end if;

    select * into effort
    from public.search_effort(case searched.vectors when 'embedding' then 'chunks' else 'chunks_next' end);
    if (select count(*) from (
            select from public.document_chunks c where c.user_id = match_user_id limit effort.one_by_one + 1) t) <= effort.one_by_one
    then
        return query execute format($q$
            with nearest as materialized (
                select c.id, c.%1$I <=> $1 as distance
                from public.document_chunks c
                where c.user_id = $2
                  and c.%1$I is not null
                  and (c.%2$I is null or c.%2$I = $3)
                order by (c.%1$I <=> $1) + 0   -- no index has this order
                limit $4
            )
            select c.id, c.file_id, c.content, c.chunk_index, c.page_number, c.heading, c.metadata, 1 - n.distance
            from nearest n join public.document_chunks c on c.id = n.id
            where $5 is null or 1 - n.distance >= $5
            order by n.distance, c.id$q$, searched.vectors, searched.vectors || '_model')
            using query_embedding, match_user_id, searched.model, wanted, match_threshold;
        return;
    end if;

    -- The settings exist since searchable_chunks() has loaded pgvector's library.
    were := array(select current_setting(name) from unnest(names) with ordinality as n (name, place) order by place);
    perform set_config('ivfflat.probes', effort.probes::text, true),
            set_config('ivfflat.iterative_scan', 'relaxed_order', true),
            set_config('ivfflat.max_probes', '32768', true),
            set_config('hnsw.ef_search', '400', true),
            set_config('hnsw.iterative_scan', 'relaxed_order', true),
            set_config('hnsw.max_scan_tuples', '1000000', true),
            set_config('hnsw.scan_mem_multiplier', '8', true),   -- of work_mem, which ends a scan as well
            set_config('enable_sort', 'off', true);   -- else the planner takes every row of the person, at any number
    return query execute format($q$
        with nearest as materialized (
            select c.id, c.%1$I <=> $1 as distance
            from public.document_chunks c
            where c.user_id = $2
              and (c.%2$I is null or c.%2$I = $3)
            order by c.%1$I <=> $1
            limit greatest(4 * $4, 100)
        )
        select c.id, c.file_id, c.content, c.chunk_index, c.page_number, c.heading, c.metadata, 1 - n.distance
        from nearest n join public.document_chunks c on c.id = n.id
        where $5 is null or 1 - n.distance >= $5
        order by n.distance + 0, c.id   -- the index's order is a rough one, which the planner does not know
        limit $4$q$, searched.vectors, searched.vectors || '_model')
        using query_embedding, match_user_id, searched.model, wanted, match_threshold;
    perform set_config(name, was, true) from unnest(names, were) as n (name, was);
end $$;

-- ── Rights ───────────────────────────────────────────────────────────────────────────────────────────────────────

-- A re-embedding is the owner's.
revoke all on orion_ingest.reembeddings, orion_ingest.reembedding_slices, orion_ingest.reembedding_skips
    from public, anon, authenticated;
revoke all on function
    orion_ingest.slice_added(), orion_ingest.begin_reembedding(text, integer), orion_ingest.slice_chunks(integer),
    orion_ingest.claim_slices(uuid, text, interval), orion_ingest.slice_rows(bigint[]),
    orion_ingest.fill_chunks(text, uuid[], vector[]), orion_ingest.swap_name(text, text, text),
    orion_ingest.swap_chunks(boolean), orion_ingest.empty_chunks(uuid, integer), orion_ingest.end_reembedding()
    from public, anon, authenticated;

reset search_path;
reset client_min_messages;
