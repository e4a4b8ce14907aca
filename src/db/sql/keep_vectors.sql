-- Stashes for file $1 of user $2 the vectors of model $3 with $4 dimensions that its texts with the hashes $5 have elsewhere:
-- in the user's chunks, of which the file's own are about to be replaced, and in the stash of another file.
insert into orion_ingest.stashed_vectors (file_id, user_id, model, dimensions, content_sha256, embedding)
select distinct on (wanted.content_sha256) $1, $2, $3, $4, wanted.content_sha256, known.embedding
from unnest($5::bytea[]) as wanted (content_sha256)
cross join lateral (
    select c.embedding
    from public.document_chunks c
    where c.user_id = $2 and c.content_sha256 = wanted.content_sha256 and c.embedding_model = $3
        and c.embedding is not null and vector_dims(c.embedding) = $4
    union all
    select s.embedding
    from orion_ingest.stashed_vectors s
    where s.user_id = $2 and s.content_sha256 = wanted.content_sha256 and s.model = $3 and s.dimensions = $4
    limit 1
) as known
where not exists (
    select from orion_ingest.stashed_vectors own
    where own.file_id = $1 and own.model = $3 and own.dimensions = $4 and own.content_sha256 = wanted.content_sha256
)
on conflict do nothing
