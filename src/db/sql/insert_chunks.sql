-- Inserts chunks of model dimensions $12, one for each element of the arrays; those without a vector take the one that is
-- stashed for their file, and are left out if there is none.
insert into document_chunks (
    file_id, user_id, embedding_model,
    chunk_index, content, page_number, heading, token_count, content_sha256, metadata, embedding
)
select new.file_id, new.user_id, new.model, new.index, new.content, new.page, new.heading, new.tokens, new.sha256,
    new.metadata, coalesce(new.embedding, stashed.embedding)
from unnest(
    $1::uuid[], $2::uuid[], $3::text[],
    $4::int[], $5::text[], $6::int[], $7::text[], $8::int[], $9::bytea[], $10::jsonb[], $11::vector[]
) as new (file_id, user_id, model, index, content, page, heading, tokens, sha256, metadata, embedding)
left join lateral (
    select s.embedding
    from orion_ingest.stashed_vectors s
    where new.embedding is null and s.file_id = new.file_id and s.model = new.model and s.dimensions = $12
        and s.content_sha256 = new.sha256
) as stashed on true
where new.embedding is not null or stashed.embedding is not null
