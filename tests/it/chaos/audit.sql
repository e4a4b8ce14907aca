-- What the chaos tests note of every change to a file, its chunks and the requests to the provider: by whom, and whether
-- that was theirs to do. Connections of workers say who they are in chaos.worker; all others are clients.
create schema chaos;
create table chaos.claims (token uuid primary key, worker text not null);
create table chaos.commits (transaction xid8, file_id uuid, primary key (transaction, file_id));
create table chaos.requests (id uuid primary key, worker text not null);
-- Requests that were unanswered when their worker lost a lease or handed one back, or that it sent before it can have noticed:
-- what a crash may have to pay again.
create table chaos.in_flight (id uuid primary key);
create table chaos.losses (worker text not null, at timestamptz not null default clock_timestamp());
create table chaos.charges (file_id uuid not null, code text, error text);
create table chaos.wrongs (what text not null, worker text not null, file_id uuid);

create function chaos.worker() returns text language sql as $$
    select coalesce(nullif(current_setting('chaos.worker', true), ''), 'client')
$$;

create function chaos.wrong(what text, file_id uuid) returns void language sql as $$
    insert into chaos.wrongs values (what, chaos.worker(), file_id)
$$;

create function chaos.note_file() returns trigger language plpgsql security definer set search_path = public as $$
declare
    me text := chaos.worker();
    holder text := (select worker from chaos.claims where token = old.lease_token);
    is_claim boolean := new.lease_token is not null and new.lease_token is distinct from old.lease_token;
begin
    if is_claim then
        insert into chaos.claims values (new.lease_token, me);
        if old.due_at > now() or old.processing_status not in ('pending', 'processing') then
            perform chaos.wrong('claimed what was not due', new.id);
        end if;
        if new.leases_lost - old.leases_lost <> (old.lease_token is not null)::integer then
            perform chaos.wrong('miscounted the lost leases', new.id);
        end if;
    elsif me <> 'client' and me is distinct from holder then
        perform chaos.wrong('wrote to a file that it does not hold', new.id);
    end if;
    if old.lease_token is not null and new.lease_token is distinct from old.lease_token
        and new.processing_status <> 'completed' then
        insert into chaos.losses select holder where is_claim or me is distinct from holder;
        insert into chaos.in_flight
        select r.id from chaos.requests r join orion_ingest.embedding_requests e using (id)
        where r.worker = holder and e.state = 'uncertain'
        on conflict do nothing;
    end if;
    if new.processing_status = 'completed' and me <> 'client' then
        insert into chaos.commits values (pg_current_xact_id(), new.id);
    end if;
    if new.processing_attempts > old.processing_attempts then
        insert into chaos.charges values (new.id, new.processing_error_code, new.processing_error);
    end if;
    return null;
end $$;
create trigger chaos_note after update on files for each row execute function chaos.note_file();

create function chaos.note_chunks() returns trigger language plpgsql security definer set search_path = public as $$
begin
    if chaos.worker() <> 'client' then
        perform chaos.wrong('wrote chunks outside a commit of its own', c.file_id)
        from (select distinct file_id from changed) c
        where not exists (
            select from chaos.commits o where o.transaction = pg_current_xact_id() and o.file_id = c.file_id);
    end if;
    return null;
end $$;
create trigger chaos_note_inserts after insert on document_chunks referencing new table as changed
    for each statement execute function chaos.note_chunks();
create trigger chaos_note_deletes after delete on document_chunks referencing old table as changed
    for each statement execute function chaos.note_chunks();

create function chaos.note_request() returns trigger language plpgsql security definer as $$
begin
    insert into chaos.requests values (new.id, chaos.worker());
    insert into chaos.in_flight
    select new.id
    where exists (
        select from chaos.losses l where l.worker = chaos.worker() and l.at > clock_timestamp() - interval '2 seconds');
    return null;
end $$;
create trigger chaos_note after insert on orion_ingest.embedding_requests for each row execute function chaos.note_request();
