-- Lets the worker's role log in with the stack's password. What the role may do is the migrations' affair.
do $$
begin
    if not exists (select from pg_roles where rolname = 'orion_ingest') then
        create role orion_ingest;
    end if;
    execute format('alter role orion_ingest login password %L', current_setting('orion_ingest.password'));
end
$$;
