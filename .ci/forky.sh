#!/usr/bin/env bash
# forky.sh: prints a folder with nginx, curl, h2load and nghttp of Debian's next release, which speak HTTP/3: unpacked, never
# installed, and kept for the next run. Each runs with the libraries that came with it.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
[ "$(id -u)" = 0 ] && caches=/var/cache || caches=$HOME/.cache
cache=${XDG_CACHE_HOME:-$caches}/hedgerow-test
packages=nginx,curl,nghttp2-client
folder=$cache/forky-${packages//,/-}

unpack() {
    "$here/packages.sh" mmdebstrap:mmdebstrap >&2
    local making=$folder.part libraries
    rm -rf "$making"
    mmdebstrap --quiet --variant=extract --aptopt='Acquire::Check-Valid-Until "false"' --include="$packages" forky "$making" >&2
    libraries=$(cd "$making" && echo usr/lib/*-linux-gnu)
    mkdir "$making/run-bin"
    for command in usr/sbin/nginx usr/bin/curl usr/bin/h2load usr/bin/nghttp; do
        cat >"$making/run-bin/${command##*/}" <<SCRIPT
#!/bin/sh
exec $folder/$libraries/$(basename "$making/$libraries"/ld-linux-*.so.*) --library-path $folder/$libraries $folder/$command "\$@"
SCRIPT
    done
    chmod 755 "$making" "$making"/run-bin/*
    mv "$making" "$folder"
}

mkdir -p "$cache"
exec 9>"$cache/forky.lock"
flock 9
[ -d "$folder" ] || unpack
echo "$folder/run-bin"
