-- Inserts chunks, one for each element of the arrays.
insert into document_chunks (
    file_id, user_id, embedding_model,
    chunk_index, content, page_number, heading, token_count, content_sha256, metadata, embedding
)
select * from unnest(
    $1::uuid[], $2::uuid[], $3::text[],
    $4::int[], $5::text[], $6::int[], $7::text[], $8::int[], $9::bytea[], $10::jsonb[], $11::vector[]
)
