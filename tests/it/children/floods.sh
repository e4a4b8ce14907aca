#!/bin/sh
# Announces a page of many full frames, and sends them for ever.
while :; do
    printf '\000\000\020\000\221' || exit
    head -c 1048576 /dev/zero || exit
done
