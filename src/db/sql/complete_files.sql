-- Completes the files $1 whose leases are still $2: with the texts $3, $4 chunks each, and the objects' hashes $5.
-- Promises: a file whose lease was lost is not touched; the tokens of the others are returned, since two leases of one file
-- may be among them, and their rows are locked until the commit.
update files f
set processing_status = 'completed', lease_token = null, processed_at = now(),
    extracted_text = done.text, chunk_count = done.chunks, content_sha256 = done.sha256,
    processing_error = null, processing_error_code = null
from unnest($1::uuid[], $2::uuid[], $3::text[], $4::int[], $5::bytea[]) as done (id, token, text, chunks, sha256)
where f.id = done.id and f.lease_token = done.token
returning done.token as "token!"
