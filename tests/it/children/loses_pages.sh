#!/bin/sh
# Says that it sent three pages, and sent none.
printf '\051\000\000\000\022{"mime_type":"text/plain","pages":     3}'
exec cat >/dev/null
