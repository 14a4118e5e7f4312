#!/usr/bin/env bash
# A Docker engine and base images for the stack tests, from Debian's own packages.
#
#   engine.sh need     say in one line why the stack tests cannot run here; exit 0 if they can
#   engine.sh start    install what is missing, start dockerd unless an engine answers, make the base images
#   engine.sh users    print the file that a test run locks, shared, while it uses the engine
#   engine.sh stop     end the dockerd that `start` started, unless that file is locked; any other is left alone
#
# The base images are stand-ins (Debian's own Python 3.14 and nginx 1.30), so no image registry is needed. Who has other
# ones sets BASE_PYTHON and BASE_NGINX, and none is made.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
[ "$(id -u)" = 0 ] && caches=/var/cache || caches=$HOME/.cache
cache=${XDG_CACHE_HOME:-$caches}/hedgerow-test
started=$cache/dockerd.pid
plugins=${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins
ca_bundle=/etc/ssl/certs/ca-certificates.crt
forky=(--aptopt='Acquire::Check-Valid-Until "false"') # a mirror may be a snapshot

say() { echo "engine: $*" >&2; }

root_on_debian() { [ "$(id -u)" = 0 ] && grep -qx 'ID=debian' /etc/os-release 2>/dev/null; }

engine_answers() { docker info >/dev/null 2>&1; }

compose_there() { docker compose version >/dev/null 2>&1 && docker buildx version >/dev/null 2>&1; }

browser_there() { command -v chromium >/dev/null && command -v chromedriver >/dev/null; }

bases_given() { [ -n "${BASE_PYTHON:-}" ] && [ -n "${BASE_NGINX:-}" ]; }

need() {
    root_on_debian && return 0
    { engine_answers && compose_there && bases_given && browser_there; } && return 0
    echo "not root on Debian, and not all of these: a Docker engine, compose, buildx, BASE_PYTHON, BASE_NGINX, chromium, chromedriver"
    return 1
}

install_packages() {
    "$here/packages.sh" docker.io:dockerd iptables:iptables mmdebstrap:mmdebstrap ca-certificates:update-ca-certificates
}

# Debian 12 packages no compose of today; the plugins of the next release are single files that run here as they are.
install_plugins() {
    compose_there && return 0
    say "unpacking the compose and buildx plugins"
    local unpacked
    unpacked=$(mktemp -d)
    mmdebstrap --quiet --variant=extract "${forky[@]}" --include=docker-compose,docker-buildx forky "$unpacked"
    mkdir -p "$plugins"
    cp "$unpacked"/usr/libexec/docker/cli-plugins/docker-{compose,buildx} "$plugins/"
    rm -rf "$unpacked"
    compose_there || { say "the compose or buildx plugin in $plugins does not run"; return 1; }
}

# An engine that ended uncleanly leaves pid files; their numbers may belong to others by now.
remove_stale_pid_file() {
    local file=$1 name=$2
    [ -e "$file" ] || return 0
    [ "$(cat "/proc/$(cat "$file")/comm" 2>/dev/null)" = "$name" ] || rm -f "$file"
}

start_dockerd() {
    engine_answers && return 0
    remove_stale_pid_file /var/run/docker.pid dockerd
    remove_stale_pid_file /var/run/docker/containerd/containerd.pid containerd
    say "starting dockerd, its log is $cache/dockerd.log"
    setsid dockerd >"$cache/dockerd.log" 2>&1 </dev/null 9>&- &
    echo $! >"$started"
    for _ in $(seq 300); do
        engine_answers && return 0
        kill -0 "$(cat "$started")" 2>/dev/null || break
        sleep 0.1
    done
    say "dockerd does not answer:"
    tail -n 20 "$cache/dockerd.log" >&2
    return 1
}

# make_base NAME PACKAGES: imports a minimal Debian with these packages as hedgerow-test/base:NAME, unless that very
# one (same packages, same certificates) is there already.
make_base() {
    local image=hedgerow-test/base:$1 packages=ca-certificates,$2 key tar
    key=$( (echo "$packages"; cat "$ca_bundle") | sha256sum | cut -c1-16)
    tar=$cache/base-$1-$key.tar
    [ "$(docker image inspect --format '{{index .Config.Labels "hedgerow.test.key"}}' "$image" 2>/dev/null)" = "$key" ] && return 0
    if [ ! -e "$tar" ]; then
        say "making the base image $image"
        # This machine's own certificates go in, so that pip inside a build trusts what pip outside trusts.
        mmdebstrap --quiet --variant=minbase "${forky[@]}" --include="$packages" \
            --customize-hook="upload $ca_bundle $ca_bundle" forky "$tar.part.tar"
        mv "$tar.part.tar" "$tar"
    fi
    docker import --change "LABEL hedgerow.test.key=$key" \
        --change "ENV SSL_CERT_FILE=$ca_bundle PIP_CERT=$ca_bundle" "$tar" "$image" >/dev/null
}

start() {
    if root_on_debian; then
        install_packages
        exec 9>"$cache/lock"
        flock 9
        install_plugins
        start_dockerd
        if ! bases_given; then
            make_base python python3,python3-venv
            make_base nginx nginx
        fi
    else
        need
    fi
}

# A test run that was killed leaves containers that the next start of the engine would bring back.
remove_leftovers() {
    local ids
    ids=$(docker ps --all --quiet --filter name=^hedgerow-test-)
    [ -z "$ids" ] || docker rm --force --volumes $ids >/dev/null
    ids=$(docker volume ls --quiet --filter name=^hedgerow-test-)
    [ -z "$ids" ] || docker volume rm $ids >/dev/null
    ids=$(docker network ls --quiet --filter name=^hedgerow-test-)
    [ -z "$ids" ] || docker network rm $ids >/dev/null
}

users() { echo "$cache/users"; }

stop() {
    [ -e "$started" ] || return 0
    exec 8>>"$cache/users"
    flock --exclusive --nonblock 8 || { say "another test run uses the engine"; return 0; }
    local pid
    pid=$(cat "$started")
    rm -f "$started"
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ] || return 0
    engine_answers && remove_leftovers
    say "stopping dockerd"
    kill "$pid"
    for _ in $(seq 300); do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.1
    done
    say "dockerd ($pid) did not end within 30 s"
    return 1
}

case ${1:-} in
    need | start | users | stop) mkdir -p "$cache" && "$1" ;;
    *) sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
