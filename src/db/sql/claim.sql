-- Claims up to $1 due files for $2 seconds: the least recently served tenants first, each one's oldest file first.
-- Promises: no file is given to two claimers, none that is not due, and never more than $1. Rows that another
-- claimer holds are skipped, not waited for. $4 and $5 narrow it to a user's files.
select id as "id!: FileId",
    user_id as "user_id!: UserId",
    lease_token as "lease_token!: LeaseToken",
    storage_path as "storage_path!",
    original_name as "original_name!",
    mime_type as "mime_type!",
    file_size::bigint as file_size,
    processing_attempts as "processing_attempts!",
    leases_lost as "leases_lost!",
    fatal_sha256,
    created_at > now() - make_interval(secs => $6) as "upload_may_come!"
from orion_ingest.claim_files($1, make_interval(secs => $2), $3, $4, $5)
