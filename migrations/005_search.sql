-- The two searches weigh their ways: comparing a person's rows one by one, or the index, of either kind.
--
-- Measured with 100,000 chunks of a thousand people (docs/performance.md): with three times the root of its lists as
-- probes, an IVFFlat index found 91 % of the five nearest for those who have 10,000 chunks and more, and without
-- iterative_scan an HNSW index 80 %.

set client_min_messages = warning;

do $$
begin
    perform set_config('search_path', format('%I, public, pg_temp', n.nspname), false)
    from pg_extension e join pg_namespace n on n.oid = e.extnamespace
    where e.extname = 'vector';
end $$;

-- A row that is compared by itself takes 10 us, most of it to fetch its vector; one in a list that is probed 3.4 us,
-- whoever's it is. So the index pays for those who have more than a third of what it would have to probe. Of HNSW's
-- neighbours only a person's own count: the more rows others have, the more it passes, at 0.1 ms each.
create or replace function public.search_effort(target text, out one_by_one bigint, out probes integer)
language sql stable set search_path = '' as $$
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
                    when 'chunks' then 'public.idx_document_chunks_embedding' else 'public.idx_messages_embedding' end)
            left join pg_catalog.pg_am a on a.oid = x.relam
            where t.oid = case search_effort.target
                when 'chunks' then 'public.document_chunks'::regclass else 'public.messages'::regclass end
        ) shape
    ) i
$$;
comment on function public.search_effort(text) is
    'How a search goes about it, by size and index of its table (target chunks or messages): up to how many rows of a person are compared one by one, and how many lists of an IVFFlat index are probed for those who have more.';
revoke all on function public.search_effort(text) from public, anon, authenticated;
grant execute on function public.search_effort(text) to authenticated, service_role, orion_ingest;

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
    effort record;
    names constant text[] := array['ivfflat.probes', 'ivfflat.iterative_scan', 'ivfflat.max_probes',
                                   'hnsw.ef_search', 'hnsw.iterative_scan', 'hnsw.max_scan_tuples', 'hnsw.scan_mem_multiplier',
                                   'enable_sort'];
    were text[];
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

    select * into effort from public.search_effort('chunks');
    if (select count(*) from (
            select from public.document_chunks c where c.user_id = match_user_id limit effort.one_by_one + 1) t) <= effort.one_by_one
    then
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
    were := array(select current_setting(name) from unnest(names) with ordinality as n (name, place) order by place);
    perform set_config('ivfflat.probes', effort.probes::text, true),
            set_config('ivfflat.iterative_scan', 'relaxed_order', true),
            set_config('ivfflat.max_probes', '32768', true),
            set_config('hnsw.ef_search', '400', true),
            set_config('hnsw.iterative_scan', 'relaxed_order', true),
            set_config('hnsw.max_scan_tuples', '1000000', true),
            set_config('hnsw.scan_mem_multiplier', '8', true),   -- of work_mem, which ends a scan as well
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
    perform set_config(name, was, true) from unnest(names, were) as n (name, was);
end $$;

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
    effort record;
    names constant text[] := array['ivfflat.probes', 'ivfflat.iterative_scan', 'ivfflat.max_probes',
                                   'hnsw.ef_search', 'hnsw.iterative_scan', 'hnsw.max_scan_tuples', 'hnsw.scan_mem_multiplier',
                                   'enable_sort'];
    were text[];
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

    select * into effort from public.search_effort('messages');
    if (select count(*) from (
            select from public.messages m
            where m.user_id = match_user_id and (match_conversation_id is null or m.conversation_id = match_conversation_id)
            limit effort.one_by_one + 1) t) <= effort.one_by_one
    then
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
    were := array(select current_setting(name) from unnest(names) with ordinality as n (name, place) order by place);
    perform set_config('ivfflat.probes', effort.probes::text, true),
            set_config('ivfflat.iterative_scan', 'relaxed_order', true),
            set_config('ivfflat.max_probes', '32768', true),
            set_config('hnsw.ef_search', '400', true),
            set_config('hnsw.iterative_scan', 'relaxed_order', true),
            set_config('hnsw.max_scan_tuples', '1000000', true),
            set_config('hnsw.scan_mem_multiplier', '8', true),   -- of work_mem, which ends a scan as well
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
    perform set_config(name, was, true) from unnest(names, were) as n (name, was);
end $$;

reset search_path;
reset client_min_messages;
