#!/usr/bin/env bash
# compiler.sh need: says what is missing to compile, if it cannot be installed; exit status 1 then.
# compiler.sh build PYTHON DIR: makes the compiled wheel of this checkout and unpacks it into DIR/unpacked.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

root_on_debian() { [ "$(id -u)" = 0 ] && [ -e /etc/debian_version ]; }

headers() { "$1" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))'; }

case ${1:-} in
need)
    command -v gcc >/dev/null || root_on_debian || { echo "there is no gcc"; exit 1; }
    ;;
build)
    command -v gcc >/dev/null && headers "$2" || "$here/packages.sh" gcc:gcc python3-dev:python3-config
    cd "$here/.."
    HEDGEROW_COMPILE=1 "$2" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$3" .
    "$2" -m zipfile -e "$3"/hedgerow-*.whl "$3/unpacked"
    ;;
*)
    sed -n '2,3s/^# //p' "$0" >&2
    exit 2
    ;;
esac
