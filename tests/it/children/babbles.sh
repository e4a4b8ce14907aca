#!/bin/sh
# Answers with something that is no frame, and stays.
printf 'HTTP/1.1 200 OK\r\n'
kill -STOP $$
