-- Vectors that user $1 already has for texts with the hashes $4, by model $2 with $3 dimensions: from chunks, and from
-- answers whose files are not committed yet. A chunk whose model is unknown is not reused.
select distinct on (known.content_sha256)
    known.content_sha256 as "sha256!", known.embedding as "vector!: Vector"
from (
    select c.content_sha256, c.embedding
    from public.document_chunks c
    where c.user_id = $1 and c.embedding_model = $2 and c.content_sha256 = any($4)
        and c.embedding is not null and vector_dims(c.embedding) = $3
    union all
    select s.content_sha256, s.embedding
    from orion_ingest.stashed_vectors s
    where s.user_id = $1 and s.model = $2 and s.dimensions = $3 and s.content_sha256 = any($4)
) as known
