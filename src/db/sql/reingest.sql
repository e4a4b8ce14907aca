-- Puts up to 1,000 completed files back into the queue that were completed before $2: all of them, those of type $1, or
-- where $3 those whose type's rules were changed since. A file's type is what its uploader or its name says; where
-- neither names one, only its bytes know, and any changed rule may be its own.
update files f
set processing_status = 'pending'
where f.id in (
    select d.id
    from files d
    left join lateral (
        select c.mime_type, c.updated_at
        from file_type_configs c
        where c.mime_type = lower(trim(split_part(d.mime_type, ';', 1)))
            or lower(substring(d.original_name from '\.([^.]+)$')) = any(c.extensions)
        order by c.mime_type = lower(trim(split_part(d.mime_type, ';', 1))) desc
        limit 1
    ) type on true
    where d.processing_status = 'completed'
        and d.processed_at < $2
        and ($1::text is null or type.mime_type = $1)
        and (not $3 or coalesce(type.updated_at, (select max(updated_at) from file_type_configs)) > d.processed_at)
    order by d.id
    limit 1000
    for no key update of d skip locked
)
