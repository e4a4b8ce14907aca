-- Functions that no session's own types can mislead, and files on whose bytes extraction has died.

set client_min_messages = warning;

-- With an empty search_path Postgres looks for a type without a schema (uuid, text, regclass) in the session's temporary
-- schema first, even before its own. Whoever may make a temporary domain of that name, with a check that calls their
-- function, ran it with the rights of whoever owns a SECURITY DEFINER function that uses the type, or calls one that
-- does: the stand-ins for Supabase's functions are among them.
do $$
declare
    ours regprocedure;
begin
    for ours in
        select p.oid from pg_catalog.pg_proc p
        join pg_catalog.pg_namespace n on n.oid = p.pronamespace
        where 'search_path=""' = any (p.proconfig)
          and pg_catalog.pg_has_role(p.proowner, 'usage')
          and (n.nspname = 'orion_ingest'
               or (n.nspname = 'public'
                   and p.proname in ('is_admin', 'active_embedding_model', 'search_effort', 'archive_old_messages',
                                     'cleanup_orphaned_files', 'generate_sample_data', 'cleanup_test_data'))
               or (n.nspname = 'auth' and p.proname in ('uid', 'jwt', 'role'))
               or (n.nspname = 'storage' and p.proname = 'foldername'))
    loop
        execute format('alter function %s set search_path = pg_catalog, pg_temp', ours);
    end loop;
end $$;

-- ── Poison ───────────────────────────────────────────────────────────────────────────────────────────────────────

alter table public.files add column if not exists fatal_sha256 bytea;
comment on column public.files.fatal_sha256 is
    'SHA-256 of the object on which extraction last crashed, or ran out of time or memory; the second time on the same bytes is final.';

do $$
begin
    perform orion_ingest.add_constraint('public.files', 'files_fatal_sha256_check', 'check (octet_length(fatal_sha256) = 32)');
end $$;

grant update (fatal_sha256) on public.files to orion_ingest;

create or replace function orion_ingest.requeue() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    new.lease_token := null;
    new.processing_attempts := 0;
    new.leases_lost := 0;
    new.processing_error := null;
    new.processing_error_code := null;
    new.fatal_sha256 := null;
    new.due_at := now();
    return new;
end $$;

reset client_min_messages;
