-- The chunks of user $2 nearest to vector $1 of model $4, at most $3, best first, with their files' names.
select hit.id as "id!",
    hit.file_id as "file_id!",
    f.original_name as "file_name!",
    hit.chunk_index as "chunk_index!",
    hit.page_number,
    hit.heading,
    hit.content as "content!",
    hit.similarity as "similarity!"
from search_similar_chunks($1::vector, $2, null, $3, $4) hit
join files f on f.id = hit.file_id
order by hit.similarity desc, hit.id
