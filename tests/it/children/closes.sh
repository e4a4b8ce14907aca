#!/bin/sh
# Closes its output without an answer and lives on.
exec >&- 2>&-
kill -STOP $$
