#!/bin/sh
# Dies as a Rust program dies whose stack is full, with the file's text on its lips.
printf 'SECRET WORDS\n\nthread extract has overflowed its stack\n' >&2
kill -ABRT $$
