#!/bin/bash
# Healthy: the internal server answers 200. bash speaks TCP by itself, and every Debian has bash; curl, wget and python3 each are
# missing in one image or another.
set -eu
exec 3<>"/dev/tcp/127.0.0.1/${HEDGEROW_INTERNAL_PORT:-8081}"
printf 'GET /addresses HTTP/1.0\r\n\r\n' >&3
read -r -t 2 status <&3
[[ $status == "HTTP/1."?" 200 "* ]]
