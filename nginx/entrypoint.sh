#!/bin/sh
# The container's start: write the files that depend on the environment, then become nginx.
set -eu
here=$(dirname "$0")
export HEDGEROW_FRONT_RUN="${HEDGEROW_FRONT_RUN:-/run/hedgerow}"
export HEDGEROW_UPSTREAM_HOST="${HEDGEROW_UPSTREAM_HOST:-appserver}"
export HEDGEROW_CERTIFICATES="${HEDGEROW_CERTIFICATES:-/certificates}"
"$here/render.sh"
"${HEDGEROW_NGINX:-nginx}" -p "$HEDGEROW_FRONT_RUN/" -c nginx.conf -e stderr -t -q
exec "${HEDGEROW_NGINX:-nginx}" -p "$HEDGEROW_FRONT_RUN/" -c nginx.conf -e stderr
