-- Type of every column of our tables, as the migrations write it: enums by their labels, others without a schema.
select t.relname::text as "table_name!",
    a.attname::text as "column_name!",
    case
        when y.typtype = 'e' then (
            select 'enum ' || string_agg(e.enumlabel, ' ' order by e.enumlabel)
            from pg_enum e
            where e.enumtypid = y.oid
        )
        else regexp_replace(format_type(a.atttypid, a.atttypmod), '^("[^"]+"|\w+)\.', '')
    end as "column_type!"
from pg_class t
join pg_attribute a on a.attrelid = t.oid
join pg_type y on y.oid = a.atttypid
where t.relnamespace = 'public'::regnamespace
    and t.relkind in ('r', 'p')
    and t.relname = any($1)
    and a.attnum > 0
    and not a.attisdropped
order by t.relname, a.attname
