#!/bin/sh
# Dies as a Rust program dies that is refused memory.
printf 'memory allocation of 4096 bytes failed\n' >&2
kill -ABRT $$
