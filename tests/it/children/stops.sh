#!/bin/sh
# Hangs for ever, whatever it is sent.
kill -STOP $$
