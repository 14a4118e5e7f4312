#!/bin/sh
# What the front runs with: the values of this installation, and the files that render.sh made of them.
#   show.sh [FOLDER]    FOLDER: where nginx runs; default HEDGEROW_FRONT_RUN, or the container's
set -eu
folder=${1:-${HEDGEROW_FRONT_RUN:-/run/hedgerow}}
if [ ! -r "$folder/installation.txt" ]; then
    echo "$folder: no front was started there" >&2
    exit 2
fi
cat "$folder/installation.txt"
for file in "$folder"/*.conf; do
    if [ ! -L "$file" ]; then
        printf '\n==> %s <==\n' "$file"
        cat "$file"
    fi
done
