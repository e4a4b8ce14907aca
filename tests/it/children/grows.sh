#!/bin/sh
# Refuses the file, and holds on to 100 MB afterwards.
hoard=$(head -c 100000000 /dev/zero | tr '\0' x)
printf '\011\000\000\000\023"no_text"'
cat >/dev/null
echo "$hoard" >/dev/null
