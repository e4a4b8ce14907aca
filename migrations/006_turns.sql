-- Turns move to a table without a unique index.
--
-- Each claim writes a new version of its tenants' turns, and each version an entry into every index. Before a unique index
-- takes one it looks at all versions of that key which some snapshot may still see, so while one old snapshot was held
-- a claim of ten files touched 25,000 pages after 200,000 files. `tenants` keeps the key, and is written once a person.
--
-- Workers of before this find 1970 in tenants.turn_at, where their claims then start: slower, and right. (They cannot read
-- -infinity.)

set client_min_messages = warning;

-- A statement that waits for the lock below still runs the function of before when it gets it, and writes into tenants.
create or replace function orion_ingest.pass_turn_on() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    insert into orion_ingest.turns (user_id, turn_at, head_at)
    select new.user_id, 'infinity', 'infinity'
    where not exists (select from orion_ingest.turns t where t.user_id = new.user_id);
    update orion_ingest.turns t
    set turn_at = least(t.turn_at, greatest(new.turn_at, new.head_at)), head_at = least(t.head_at, new.head_at)
    where t.user_id = new.user_id;
    update orion_ingest.tenants t set turn_at = 'epoch', head_at = 'infinity' where t.user_id = new.user_id;
    return null;
end $$;
comment on function orion_ingest.pass_turn_on() is 'Moves what functions of before write into tenants to turns.';

do $$
begin
    -- Before anything else, and against those who lock its rows, too: a claim of before that has some, and waits for our
    -- reference to be made before it writes, would be waited for at the end.
    lock table orion_ingest.tenants in exclusive mode;
    create table if not exists orion_ingest.turns (
        user_id uuid not null references orion_ingest.tenants (user_id) on delete cascade,
        turn_at timestamptz not null,
        head_at timestamptz not null
    ) with (
        autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0
    );
    create or replace trigger pass_turn_on after insert or update of turn_at, head_at on orion_ingest.tenants
        for each row when (new.head_at < 'infinity') execute function orion_ingest.pass_turn_on();
end $$;
create index if not exists turns_turn_at_idx on orion_ingest.turns (turn_at);
create index if not exists turns_user_id_idx on orion_ingest.turns (user_id);
comment on table orion_ingest.turns is 'Whose turn it is: the least recently served person with due files is claimed from first. One row a person.';
comment on column orion_ingest.turns.user_id is 'The person; deleted with the profile. Not unique for the index, but by tenants: whoever adds a row there adds one here.';
comment on column orion_ingest.turns.turn_at is 'When it is their turn; infinity while they have nothing to do.';
comment on column orion_ingest.turns.head_at is 'No claimable file of theirs has an earlier due_at: where a claim begins to look.';
comment on table orion_ingest.tenants is 'People who have or had files: one row each, the key of turns.';
comment on column orion_ingest.tenants.turn_at is 'Of before turns; 1970 since.';
comment on column orion_ingest.tenants.head_at is 'Of before turns; infinity since.';

create or replace function orion_ingest.give_turns(users uuid[], turns timestamptz[], heads timestamptz[])
returns void language plpgsql volatile set search_path = '' as $$
begin
    -- All of it in the order of user_id, so that two inserts of many people's files can't wait for each other.
    insert into orion_ingest.tenants (user_id, turn_at, head_at)
    select g.user_id, 'epoch', 'infinity' from unnest(users) g (user_id) order by g.user_id
    on conflict (user_id) do nothing;

    -- Who has no turn yet is given it by one of us.
    perform from orion_ingest.tenants t
    where t.user_id = any (users) and not exists (select from orion_ingest.turns o where o.user_id = t.user_id)
    order by t.user_id
    for no key update;
    insert into orion_ingest.turns (user_id, turn_at, head_at)
    select g.user_id, g.turn_at, g.head_at from unnest(users, turns, heads) g (user_id, turn_at, head_at)
    where not exists (select from orion_ingest.turns o where o.user_id = g.user_id);

    -- Waits for a claim that holds the turn, and then sees what it left.
    perform from orion_ingest.turns t where t.user_id = any (users) order by t.user_id for no key update;
    update orion_ingest.turns t
    set turn_at = least(t.turn_at, g.turn_at), head_at = least(t.head_at, g.head_at)
    from unnest(users, turns, heads) as g (user_id, turn_at, head_at)
    where t.user_id = g.user_id and (g.turn_at < t.turn_at or g.head_at < t.head_at);
end $$;
comment on function orion_ingest.give_turns(uuid[], timestamptz[], timestamptz[]) is
    'Sees to it that each person''s turn comes, and a claim begins to look, no later than this.';

create or replace function orion_ingest.enqueue_added() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
    users uuid[];
    heads timestamptz[];
begin
    select array_agg(a.user_id), array_agg(a.head_at) into users, heads
    from (
        select a.user_id, min(a.due_at) as head_at from added a
        where a.processing_status in ('pending', 'processing')
        group by a.user_id
    ) a;
    if users is not null then
        perform orion_ingest.give_turns(users, array(select greatest(h, now()) from unnest(heads) with ordinality as o (h, place) order by place), heads);
    end if;
    if (select min(h) from unnest(heads) h) <= now() then
        perform pg_notify('orion_ingest_files', '');
    end if;
    return null;
end $$;

create or replace function orion_ingest.enqueue_changed() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    perform orion_ingest.give_turns(array[new.user_id], array[greatest(new.due_at, now())], array[new.due_at]);
    if new.due_at <= now() then
        perform pg_notify('orion_ingest_files', '');
    end if;
    return null;
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
            from orion_ingest.turns t
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
                update orion_ingest.turns t
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

-- ── Turns that were given before ─────────────────────────────────────────────────────────────────────────────────

do $$
begin
    lock table orion_ingest.tenants in exclusive mode;
    insert into orion_ingest.turns (user_id, turn_at, head_at)
    select t.user_id, 'infinity', 'infinity' from orion_ingest.tenants t
    where not exists (select from orion_ingest.turns given where given.user_id = t.user_id);
    update orion_ingest.tenants set head_at = head_at where head_at < 'infinity';
end $$;

revoke all on orion_ingest.turns from public, anon, authenticated, orion_ingest;
grant select, update (turn_at, head_at) on orion_ingest.turns to orion_ingest;
revoke all on function orion_ingest.give_turns(uuid[], timestamptz[], timestamptz[]), orion_ingest.pass_turn_on()
    from public, anon, authenticated;

reset client_min_messages;
