#!/usr/bin/env bash
# packages.sh PACKAGE:COMMAND…: installs the Debian packages whose command is not there; says nothing if all are.
set -euo pipefail

missing=()
for pair in "$@"; do
    command -v "${pair#*:}" >/dev/null || missing+=("${pair%%:*}")
done
[ ${#missing[@]} = 0 ] && exit 0
echo "installing Debian packages: ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
# Two runs at once wait for each other: apt-get itself gives up at once.
exec 8>/var/lock/hedgerow-packages
flock 8
apt-get update -qq
# No service is to start by itself: the tests start what they need, and stop it.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi
apt-get -o DPkg::Lock::Timeout=600 install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
