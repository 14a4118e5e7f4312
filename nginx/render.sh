#!/bin/sh
# Prepares the folder that nginx runs in: links to the static files, and the files that depend on the installation.
# The same script serves the container's entry point and a bare machine; it needs nothing but a POSIX shell and coreutils, and
# the command openssl for HTTPS.
#
#   HEDGEROW_FRONT_RUN      target folder, absolute, writable
#   HEDGEROW_WORKERS        addresses of a replica, 1 to 256                         (2)
#   HEDGEROW_FIRST_ADDRESS  port of the first address; the others follow             (8001)
#   HEDGEROW_UPSTREAM_HOST  a name: every replica it resolves to, looked up again and again; an IPv4 address: fixed   (127.0.0.1)
#   HEDGEROW_RESOLVER       who answers for the name                                 (127.0.0.11, Docker's)
#   HEDGEROW_PORT           port of the front                                        (8080)
#   HEDGEROW_INTERNAL_PORT  port for replicas and health checks                      (8081; fixed addresses: a socket in the target)
#   HEDGEROW_METRICS_PORT   port on which a replica tells its figures; 0: none does          (0)
#   HEDGEROW_HTTPS          off; on: with the certificates of a folder; development: with ones made at the first start    (off)
#   HEDGEROW_HTTPS_PORT     port of HTTPS, and by UDP of HTTP/3; HEDGEROW_PORT then only sends clients there            (8443)
#   HEDGEROW_HTTPS_PUBLIC_PORT  the same port as clients see it, if it is published as another one
#   HEDGEROW_CERTIFICATES   folder with NAME.pem and NAME.key, or NAME/fullchain.pem and NAME/privkey.pem as certbot's `live`
#   HEDGEROW_HTTPS_NAMES    with development: further names and addresses, parted by blanks or commas
#   HEDGEROW_HSTS           seconds that browsers are to keep to HTTPS; 0: nothing is said                       (0)
#   HEDGEROW_ACME           folder whose .well-known/acme-challenge/ is served by plain HTTP, for certbot's webroot
#   HEDGEROW_HOSTS, HEDGEROW_METHODS, HEDGEROW_CLIENT_RATE, HEDGEROW_CLIENT_CONNECTIONS, HEDGEROW_TRUSTED_PROXIES, HEDGEROW_PROXY_PROTOCOL
#                           whom the front refuses and believes: see defence.sh                        (off)
#   HEDGEROW_SECURITY_HEADERS  0: no security headers are added                              (1)
#   HEDGEROW_READ_TIMEOUT_S how long an address may say nothing before a GET goes to another one, 1 to 3600     (310)
#   HEDGEROW_EARLY_HINTS    1: early hints of apps go on to browsers that open a page; nginx 1.29 or newer   (0)
#   HEDGEROW_CACHE_MB       how much is kept of answers, in MB, for apps that wish it; 0: nothing: see cache.sh   (64)
#   HEDGEROW_FRONT_STATE    the replicas' state, as it is seen from here: the front sends files of it itself; empty: workers send them   ()
#   HEDGEROW_FRONT_FILES    0: the front sends no files, whether or not it could             (1)
#   HEDGEROW_NGINX          the nginx binary                                         (nginx)
#   HEDGEROW_NGINX_FILES    folder with nginx.conf, conf.d and snippets              (where this script lies)
#
# Then: nginx -p "$HEDGEROW_FRONT_RUN/" -c nginx.conf -e stderr
# A mistake is one sentence and exit status 2.

set -eu
umask 022

fail() {
    printf '%s\n' "$1" >&2
    exit 2
}

# number NAME VALUE LOW HIGH
number() {
    case $2 in
        '' | *[!0-9]* | 0* | ??????*) fail "$1=$2: not a number between $3 and $4" ;;
    esac
    if [ "$2" -lt "$3" ] || [ "$2" -gt "$4" ]; then
        fail "$1=$2: not between $3 and $4"
    fi
}

# note SENTENCE: what is worth knowing and no mistake. Told here, and kept for `hedgerow front show`.
notes=
note() {
    printf '%s\n' "$1" >&2
    notes="$notes# $1
"
}

# folder NAME VALUE
folder() {
    case $2 in
        /*) ;;
        *) fail "$1=$2: not an absolute path" ;;
    esac
    case $2 in
        *[\"\\\;\{\}\$]* | *'
'*) fail "$1=$2: has a character that nginx's files cannot hold" ;;
    esac
}

here=$(cd "$(dirname "$0")" && pwd)
workers=${HEDGEROW_WORKERS:-2}
first=${HEDGEROW_FIRST_ADDRESS:-8001}
host=${HEDGEROW_UPSTREAM_HOST:-127.0.0.1}
resolver=${HEDGEROW_RESOLVER:-127.0.0.11}
port=${HEDGEROW_PORT:-8080}
internal=${HEDGEROW_INTERNAL_PORT:-}
metrics=${HEDGEROW_METRICS_PORT:-0}
hints=${HEDGEROW_EARLY_HINTS:-0}
read_timeout=${HEDGEROW_READ_TIMEOUT_S:-310}
state=${HEDGEROW_FRONT_STATE:-}
sends=${HEDGEROW_FRONT_FILES:-1}
nginx=${HEDGEROW_NGINX:-nginx}
files=${HEDGEROW_NGINX_FILES:-$(dirname "$0")}
target=${HEDGEROW_FRONT_RUN:-}

number HEDGEROW_WORKERS "$workers" 1 256
number HEDGEROW_FIRST_ADDRESS "$first" 1 65535
number HEDGEROW_PORT "$port" 1 65535
last=$((first + workers - 1))
if [ "$last" -gt 65535 ]; then
    fail "HEDGEROW_FIRST_ADDRESS=$first: $workers addresses from there on pass port 65535"
fi
case $host in
    -* | .* | *[!A-Za-z0-9._-]*) fail "HEDGEROW_UPSTREAM_HOST=$host: neither a host name nor an IPv4 address" ;;
esac
case $resolver in
    '' | *[!A-Za-z0-9.:_-]*) fail "HEDGEROW_RESOLVER=$resolver: not an address" ;;
esac
case $host in
    *[!0-9.]*) fixed=no ;;
    *) fixed=yes ;;
esac
if [ -z "$internal" ] && [ "$fixed" = no ]; then
    internal=8081
fi
if [ -n "$internal" ]; then
    number HEDGEROW_INTERNAL_PORT "$internal" 1 65535
    if [ "$internal" = "$port" ]; then
        fail "HEDGEROW_INTERNAL_PORT=$internal: is HEDGEROW_PORT, and would be public"
    fi
fi
if [ "$metrics" != 0 ]; then
    number HEDGEROW_METRICS_PORT "$metrics" 1 65535
fi
number HEDGEROW_READ_TIMEOUT_S "$read_timeout" 1 3600
if [ "$read_timeout" -le 300 ]; then
    note "HEDGEROW_READ_TIMEOUT_S=$read_timeout: an app may have a deadline of up to 300 s; a GET that takes longer than this is sent to other workers as well"
fi
folder HEDGEROW_FRONT_RUN "$target"
if [ -n "$state" ]; then
    folder HEDGEROW_FRONT_STATE "$state"
    if [ ! -d "$state" ]; then
        fail "HEDGEROW_FRONT_STATE=$state: there is no such folder"
    fi
fi
case $sends in
    0 | 1) ;;
    *) fail "HEDGEROW_FRONT_FILES=$sends: neither 0 nor 1" ;;
esac
if [ ! -f "$files/nginx.conf" ]; then
    fail "HEDGEROW_NGINX_FILES=$files: no nginx.conf in it"
fi
files=$(cd "$files" && pwd)
if ! built=$("$nginx" -V 2>&1); then
    fail "HEDGEROW_NGINX=$nginx: cannot be run"
fi
. "$here/https.sh"
check_https
. "$here/defence.sh"
check_defence
case $hints in
    0) ;;
    1)
        version_at_least 1 29 0 || fail "HEDGEROW_EARLY_HINTS=1: $nginx is older than 1.29, which is the first that passes them on"
        ;;
    *) fail "HEDGEROW_EARLY_HINTS=$hints: neither 0 nor 1" ;;
esac
if ! mkdir -p "$target" 2>/dev/null || [ ! -w "$target" ]; then
    fail "HEDGEROW_FRONT_RUN=$target: cannot be written"
fi

# -n: a link to a folder is replaced, not followed.
for name in nginx.conf conf.d snippets; do
    ln -sfn "$files/$name" "$target/$name"
done

. "$here/cache.sh"
check_cache

# servers PARAMETERS: one line an address.
servers() {
    address=$first
    while [ "$address" -le "$last" ]; do
        if [ "$fixed" = yes ]; then
            echo "    server $host:$address $1;"
        else
            echo "    server $host:$address resolve $1;"
        fi
        address=$((address + 1))
    done
}

# addresses: those that are not marked; if all are, any.
addresses() {
    servers "max_fails=1 fail_timeout=10s"
    servers "max_fails=0 backup"
}

# upstream NAME [METHOD]: the parts that all rounds share; the servers come on stdin.
upstream() {
    echo "upstream $1 {"
    echo "    zone $1 $((256 + workers * 32))k;"
    if [ -n "${2:-}" ]; then
        echo "    $2;"
    fi
    cat
    echo "    keepalive 64;"
    echo "    keepalive_timeout 5s;"
    echo "}"
}

{
    cat <<'TEXT'
# Rendered by render.sh: the addresses that the front balances over.
#
# zone: the counters of least_conn, shared by nginx's processes; 32k a line is room for a name that resolves to more than 20 replicas.
# keepalive, keepalive_timeout: nginx closes an idle connection after 5 s, long before a worker does (75 s), so that no request is sent into a
# connection that is being closed.
# max_fails=1 fail_timeout=10s: longer than a drain (6.5 s) plus the next look-up of the name (2 s).
# max_fails=0 backup: the same addresses, never skipped: for the moment when all are, and for an address that came back.
# Default: max_fails=1 fail_timeout=10s, keepalive_timeout 60s
# https://nginx.org/en/docs/http/ngx_http_upstream_module.html#server
# https://nginx.org/en/docs/http/ngx_http_upstream_module.html#keepalive
TEXT
    if [ "$fixed" = no ]; then
        echo "# The name is asked for again every second, so replicas come and go without a reload."
        echo "# https://nginx.org/en/docs/http/ngx_http_core_module.html#resolver"
        echo "resolver $resolver valid=1s ipv6=off;"
    fi
    addresses | upstream first least_conn
    addresses | upstream others
    addresses | upstream fresh
    echo "# Who answers /metrics on the internal server: any replica, for all. One that does not answer is passed over."
    echo "upstream metrics {"
    echo "    zone metrics 64k;"
    if [ "$metrics" = 0 ]; then
        echo "    server 127.0.0.1:1 down;"
    elif [ "$fixed" = yes ]; then
        echo "    server $host:$metrics;"
    else
        echo "    server $host:$metrics resolve;"
    fi
    echo "}"
    echo "# What the internal server answers on /addresses."
    echo "map '' \$hedgerow_addresses {"
    echo "    default $workers;"
    echo "}"
} >"$target/upstream.conf"

# Who reads the files: nginx's processes, which root would leave to another user.
reader=
if [ -n "$state" ] && [ "$sends" = 1 ]; then
    reader=$(id -u)
    if [ "$reader" = 0 ]; then
        reader=other
    fi
fi
{
    echo "# Rendered by render.sh: where the replicas' state is, and whether workers may leave files in it to the front."
    echo "# https://nginx.org/en/docs/http/ngx_http_map_module.html#map"
    echo "map '' \$hedgerow_state {"
    echo "    default \"${state:-/nonexistent}\";"
    echo "}"
    echo "map '' \$hedgerow_files {"
    echo "    default \"$reader\";"
    echo "}"
} >"$target/state.conf"

{
    echo "# Rendered by render.sh: where clients connect."
    echo "# https://nginx.org/en/docs/http/ngx_http_core_module.html#listen"
    render_listen
    render_limits
    if [ "$read_timeout" != 310 ]; then
        echo "# HEDGEROW_READ_TIMEOUT_S, instead of what snippets/limits.conf says."
        echo "# https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_read_timeout"
        echo "proxy_read_timeout ${read_timeout}s;"
    fi
} >"$target/listen.conf"

render_defence >"$target/defence.conf"
render_cache >"$target/cache.conf"
render_kept >"$target/kept.conf"
render_https >"$target/https.conf"
tell_https

# A socket that a killed nginx left behind would keep the next one from binding.
rm -f "$target/internal.sock"
{
    echo "# Rendered by render.sh: where replicas and health checks connect."
    echo "# https://nginx.org/en/docs/http/ngx_http_core_module.html#listen"
    if [ -n "$internal" ] && [ "$fixed" = yes ]; then
        echo "listen 127.0.0.1:$internal;"
    elif [ -n "$internal" ]; then
        echo "listen $internal;"
    else
        echo "listen \"unix:$target/internal.sock\";"
    fi
} >"$target/internal.conf"

{
    echo "# Rendered by render.sh: who gets early hints (103). X-Hedgerow-Hints tells the worker, which sends none to others."
    if [ "$hints" = 1 ]; then
        cat <<'TEXT'
# Browsers that open a page: other clients may take a 103 for the answer, and a fetch of a script has no use for it.
# Default: early_hints off
# https://nginx.org/en/docs/http/ngx_http_core_module.html#early_hints
map $http_sec_fetch_mode $hints_to_client {
    default     "";
    navigate    1;
}
early_hints $hints_to_client;
TEXT
    else
        echo "# None: HEDGEROW_EARLY_HINTS is not 1."
        echo "map '' \$hints_to_client {"
        echo "    default \"\";"
        echo "}"
    fi
} >"$target/hints.conf"

{
    echo "# Rendered by render.sh: snippets for the modules that this nginx was built with."
    for snippet in "$files"/snippets/modules/*.conf; do
        module=$(basename "$snippet" .conf)
        case " $built " in
            *" --with-$module "*) echo "include snippets/modules/$module.conf;" ;;
        esac
    done
} >"$target/modules.conf"

# What `hedgerow front show` tells first.
{
    echo "# $(echo "$built" | head -n 1)"
    printf '%s' "$notes"
    while read -r name value; do
        echo "HEDGEROW_$name=$value"
    done <<VALUES
WORKERS $workers
FIRST_ADDRESS $first
UPSTREAM_HOST $host
RESOLVER $resolver
PORT $port
INTERNAL_PORT $internal
METRICS_PORT $metrics
READ_TIMEOUT_S $read_timeout
EARLY_HINTS $hints
CACHE_MB $cache_mb
FRONT_STATE $state
FRONT_FILES $sends
HTTPS $https
HTTPS_PORT $https_port
HTTPS_PUBLIC_PORT $https_public
CERTIFICATES $certificates
HTTPS_NAMES $https_names
HSTS $hsts
ACME $acme
HOSTS $hosts
METHODS $methods
CLIENT_RATE $client_rate
CLIENT_CONNECTIONS $client_connections
TRUSTED_PROXIES $proxies
PROXY_PROTOCOL $proxy_protocol
SECURITY_HEADERS $security_headers
NGINX $nginx
NGINX_FILES $files
FRONT_RUN $target
VALUES
} >"$target/installation.txt"
