#!/bin/sh
# Ends well, but says nothing.
exec cat >/dev/null
