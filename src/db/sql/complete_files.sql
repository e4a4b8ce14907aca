-- Completes the files $1 whose leases are still $2: with the texts $3, $4 chunks each, and the objects' hashes $5.
-- Promises: a file whose lease was lost is not touched; the tokens of the others are returned, since two leases of one file
-- may be among them, and their rows stay locked until the commit. Whoever holds several rows waits for none: a row that
-- somebody else has locked is left out as well, so that there is neither a deadlock nor a queue behind it.
with ours as (
    select f.id, done.*
    from unnest($1::uuid[], $2::uuid[], $3::text[], $4::int[], $5::bytea[]) as done (file, token, text, chunks, sha256)
    join files f on f.id = done.file and f.lease_token = done.token
    for no key update of f skip locked
)
update files f
set processing_status = 'completed', lease_token = null, processed_at = now(),
    extracted_text = ours.text, chunk_count = ours.chunks, content_sha256 = ours.sha256,
    processing_error = null, processing_error_code = null
from ours
where f.id = ours.id and f.lease_token = ours.token
returning ours.token as "token!"
