#!/bin/sh
# Refuses the file before it has read any of it.
printf '\011\000\000\000\023"no_text"'
kill -STOP $$
