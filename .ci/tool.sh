#!/usr/bin/env bash
# tool.sh NAME: prints the folder with the commands of a checker that has an environment of its own, since its packages do not go
# together with ours: gixy-next (a package `gixy`, as gixy-ng's), sslyze (other versions of cryptography). Made once from
# tools/NAME.lock, by the uv beside the Python that PYTHON names, or that of .venv.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
name=$1
lock=$here/tools/$name.lock
python=${PYTHON:-$here/../.venv/bin/python}
uv=$(dirname "$python")/uv
[ "$(id -u)" = 0 ] && caches=/var/cache || caches=$HOME/.cache
folder=${XDG_CACHE_HOME:-$caches}/hedgerow-test/tools
made=$folder/$name-$( (cat "$lock"; "$python" --version) | sha256sum | cut -c1-16)

mkdir -p "$folder"
exec 9>"$folder/lock"
flock 9
if [ ! -d "$made" ]; then
    rm -rf "$made.part"
    "$uv" venv --quiet --relocatable --python "$python" "$made.part"
    "$uv" pip install --quiet --python "$made.part/bin/python" --require-hashes -r "$lock"
    mv "$made.part" "$made"
fi
echo "$made/bin"
