#!/bin/sh
# Sends a page with a NUL in its text.
printf '\103\000\000\000\021{"number":null,"blocks":[{"kind":{"kind":"code"},"text":"\\u0000"}]}'
exec cat >/dev/null
