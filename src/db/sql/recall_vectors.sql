-- Vectors that the users $1 already have for texts with the hashes $4 (as many), by model $2 with $3 dimensions: from
-- chunks, and from answers whose files are not committed yet. A chunk whose model is unknown is not reused. Where $5 (as many)
-- is false, only that there is one.
select distinct on (known.user_id, known.content_sha256)
    known.user_id as "user!", known.content_sha256 as "sha256!", case when known.is_held then known.embedding end as "vector: Vector"
from unnest($1::uuid[], $4::bytea[], $5::boolean[]) as wanted (user_id, content_sha256, is_held)
cross join lateral (
    select c.user_id, c.content_sha256, c.embedding, wanted.is_held
    from public.document_chunks c
    where c.user_id = wanted.user_id and c.content_sha256 = wanted.content_sha256 and c.embedding_model = $2
        and c.embedding is not null and vector_dims(c.embedding) = $3
    union all
    select s.user_id, s.content_sha256, s.embedding, wanted.is_held
    from orion_ingest.stashed_vectors s
    where s.user_id = wanted.user_id and s.content_sha256 = wanted.content_sha256 and s.model = $2 and s.dimensions = $3
) as known
