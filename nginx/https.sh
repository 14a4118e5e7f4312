# HTTPS, as render.sh does it: the checks first, before anything is written; then the lines for nginx. Read by render.sh, never run;
# port, internal, nginx, built and here are its.

https=${HEDGEROW_HTTPS:-off}
https_port=${HEDGEROW_HTTPS_PORT:-8443}
https_public=${HEDGEROW_HTTPS_PUBLIC_PORT:-0}
https_names=${HEDGEROW_HTTPS_NAMES:-}
certificates=${HEDGEROW_CERTIFICATES:-}
hsts=${HEDGEROW_HSTS:-0}
acme=${HEDGEROW_ACME:-}

# --- checks -----------------------------------------------------------------------------------------------------------

check_https() {
    case $https in
        off | on | development) ;;
        *) fail "HEDGEROW_HTTPS=$https: off, on or development is wanted" ;;
    esac
    if [ -n "$acme" ]; then
        folder HEDGEROW_ACME "$acme"
    fi
    if [ "$hsts" != 0 ]; then
        case $hsts in
            *[!0-9]* | 0* | ??????????*) fail "HEDGEROW_HSTS=$hsts: not a number of seconds" ;;
        esac
        if [ "$https" != on ]; then
            fail "HEDGEROW_HSTS=$hsts: only with HEDGEROW_HTTPS=on, since browsers keep to it even when HTTPS is gone"
        fi
    fi
    if [ "$https" != off ]; then
        check_https_on
    fi
}

check_https_on() {
    number HEDGEROW_HTTPS_PORT "$https_port" 1 65535
    if [ "$https_port" = "$port" ] || [ "$https_port" = "$internal" ]; then
        fail "HEDGEROW_HTTPS_PORT=$https_port: is another port of the front"
    fi
    if [ "$https_public" = 0 ]; then
        https_public=$https_port
    fi
    number HEDGEROW_HTTPS_PUBLIC_PORT "$https_public" 1 65535
    if [ -z "$certificates" ]; then
        fail "HEDGEROW_CERTIFICATES: name the folder of the certificates, since HEDGEROW_HTTPS is $https"
    fi
    folder HEDGEROW_CERTIFICATES "$certificates"
    for option in http_ssl_module http_v2_module; do
        case " $built " in
            *" --with-$option "*) ;;
            *) fail "HEDGEROW_NGINX=$nginx: was built without --with-$option, which HTTPS needs" ;;
        esac
    done
    if ! command -v openssl >/dev/null; then
        fail "HEDGEROW_HTTPS=$https: the command openssl is needed, and not there"
    fi
    if [ "$https" = development ]; then
        sh "$here/authority.sh" "$certificates" "$(nginx_user)" "$https_names" || exit 2
    fi
    check_certificates
}

# As whom nginx's processes read certificates: started by root they are another user's.
nginx_user() {
    if [ "$(id -u)" != 0 ]; then
        id -un 2>/dev/null || id -u
        return
    fi
    case " $built " in
        *" --user="*) expr " $built " : '.* --user=\([^ ]*\) ' ;;
        *) echo nobody ;;
    esac
}

# readable FILE: for those processes.
readable() {
    if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
        reader=$(nginx_user)
        setpriv --reuid "$reader" --regid "$(id -g "$reader")" --clear-groups test -r "$1" 2>/dev/null
    else
        [ -r "$1" ]
    fi
}

# pairs: one line a certificate, its file and its key's, parted by a tab. `default` comes first, if there is one.
pairs() {
    tab=$(printf '\t')
    for file in "$certificates"/default.pem "$certificates"/*.pem; do
        if [ -e "$file" ] || [ -L "$file" ]; then
            echo "$file$tab${file%.pem}.key"
        fi
    done
    for file in "$certificates"/*/fullchain.pem "$certificates"/live/*/fullchain.pem; do
        if [ -e "$file" ] || [ -L "$file" ]; then
            echo "$file$tab${file%/*}/privkey.pem"
        fi
    done
}

check_certificates() {
    if [ ! -d "$certificates" ] || [ ! -r "$certificates" ]; then
        fail "HEDGEROW_CERTIFICATES=$certificates: is no folder that can be read"
    fi
    found=$(pairs | awk '!seen[$0]++')
    if [ -z "$found" ]; then
        fail "HEDGEROW_CERTIFICATES=$certificates: has no certificate, neither NAME.pem nor NAME/fullchain.pem"
    fi
    while IFS=$(printf '\t') read -r file key; do
        check_pair "$file" "$key"
    done <<LIST
$found
LIST
}

# check_pair FILE KEY
check_pair() {
    case $1 in
        *[!A-Za-z0-9._/@:+,=~\ -]*) fail "$1: has a character that nginx's files cannot hold" ;;
    esac
    for one in "$1" "$2"; do
        if [ ! -e "$one" ]; then
            fail "$one: is not there; a certificate is NAME.pem with NAME.key, or NAME/fullchain.pem with NAME/privkey.pem"
        fi
        if ! readable "$one"; then
            fail "$one: cannot be read by $(nginx_user), as whom nginx's processes run; see to its rights and those of the folders above"
        fi
    done
    if ! of_certificate=$(openssl x509 -in "$1" -noout -pubkey 2>/dev/null); then
        fail "$1: is no certificate"
    fi
    # -passin: a key with a password is told of, and not asked for one.
    if ! of_key=$(openssl pkey -in "$2" -pubout -passin pass: 2>/dev/null); then
        fail "$2: is no key, or has a password"
    fi
    if [ "$of_certificate" != "$of_key" ]; then
        fail "$1: does not belong to the key ${2##*/} beside it"
    fi
    if ! openssl x509 -in "$1" -noout -checkend 0 >/dev/null; then
        note "$1: has expired; browsers will warn until it is renewed"
    fi
}

# --- lines for nginx --------------------------------------------------------------------------------------------------

# names FILE: what the certificate is for, one a line, in lower case.
names() {
    openssl x509 -in "$1" -noout -ext subjectAltName 2>/dev/null | tr ',' '\n' | sed -n 's/^ *DNS:\(\(\*\.\)\{0,1\}[A-Za-z0-9._-]\{1,\}\)$/\1/p' \
        | tr '[:upper:]' '[:lower:]'
}

# The first certificate of a name has it; the first of all is for clients that ask for another one, or for none.
chosen() {
    while IFS=$(printf '\t') read -r file key; do
        names "$file" | while read -r name; do
            printf '%s\t%s\t%s\n' "$name" "$file" "$key"
        done
    done <<LIST
$found
LIST
}

# certificate_map VARIABLE COLUMN
certificate_map() {
    echo "map \$ssl_server_name \$$1 {"
    echo "    hostnames;"
    echo "$found" | awk -F '\t' -v column="$(($2 - 1))" 'NR == 1 { printf "    default \"%s\";\n", $column }'
    chosen | awk -F '\t' -v column="$2" '!seen[$1]++ { printf "    \"%s\" \"%s\";\n", $1, $column }'
    echo "}"
}

version_at_least() {
    echo "$built" | tr ' ' '\n' | sed -n 's|^nginx/\([0-9.]*\).*|\1|p' | head -n 1 \
        | awk -F . -v a="$1" -v b="$2" -v c="$3" '{ have = ($1 * 1000 + $2) * 1000 + $3 } END { exit !(have >= (a * 1000 + b) * 1000 + c) }'
}

# 1.29.1 to 1.29.3 crash with OpenSSL from 3.5.1 on; those before cannot tell the port of the host that the client named.
has_http3() {
    case " $built " in
        *" --with-http_v3_module "*) version_at_least 1 29 4 ;;
        *) return 1 ;;
    esac
}

# added VARIABLE HEADER VALUE: what the front adds to an answer by HTTPS, unless the app has said it itself.
added() {
    echo "map \"\$scheme\$upstream_http_$2\" \$$1 {"
    echo "    https   '$3';"
    echo "    default '';"
    echo "}"
}

# HTTP/3 has no Host header: what the client named is in $host and, since 1.29.3, $request_port.
host_without_header() {
    echo "map '' \$host_without_header {"
    if has_http3; then
        echo "    default \$host\$is_request_port\$request_port;"
    else
        echo "    default \$host;"
    fi
    echo "}"
}

acme_location() {
    if [ -n "$acme" ]; then
        echo "location ~ \"^/\\.well-known/acme-challenge/[A-Za-z0-9_-]+\$\" {"
        echo "    root \"$acme\";"
        echo "    include snippets/acme.conf;"
        echo "}"
    fi
}

# https.conf, at the level of http.
render_https() {
    echo "# Rendered by render.sh: the certificates by name, what HTTPS adds to answers, and plain HTTP beside it."
    echo "# https://nginx.org/en/docs/http/ngx_http_map_module.html#map"
    if [ "$https" = off ]; then
        added hsts strict_transport_security ""
        added alt_svc alt_svc ""
        host_without_header
        return
    fi
    certificate_map certificate_file 2
    certificate_map certificate_key 3
    if [ "$hsts" = 0 ]; then
        added hsts strict_transport_security ""
    else
        added hsts strict_transport_security "max-age=$hsts"
    fi
    if has_http3; then
        added alt_svc alt_svc "h3=\":$https_public\"; ma=86400"
    else
        added alt_svc alt_svc ""
    fi
    host_without_header
    suffix=:$https_public
    if [ "$https_public" = 443 ]; then
        suffix=
    fi
    echo "map '' \$redirect_port {"
    echo "    default '$suffix';"
    echo "}"
    echo "server {"
    echo "    listen $port default_server$(proxied);"
    echo "    include snippets/https-redirect.conf;"
    acme_location | sed 's/^/    /'
    echo "}"
}

# What a listener says of the PROXY protocol (defence.sh); QUIC has none.
proxied() {
    if [ "$proxy_protocol" = 1 ]; then
        echo " proxy_protocol"
    fi
}

# The lines of listen.conf, in the server.
render_listen() {
    if [ "$https" = off ]; then
        echo "listen $port default_server$(proxied);"
        acme_location
        return
    fi
    echo "listen $https_port ssl default_server$(proxied);"
    if has_http3; then
        echo "listen $https_port quic reuseport default_server;"
        echo "http3 on;"
    fi
    if version_at_least 1 27 4; then
        echo "# A renewed file is seen a second later. Without the cache each handshake reads the files."
        echo "# https://nginx.org/en/docs/http/ngx_http_ssl_module.html#ssl_certificate_cache"
        echo "ssl_certificate_cache max=1000 inactive=1h valid=1s;"
    fi
    echo "include snippets/https.conf;"
}

tell_https() {
    if [ "$https" = off ]; then
        return
    fi
    if ! has_http3; then
        note "HTTP/3 is left out: it needs nginx 1.29.4 or newer, built with --with-http_v3_module"
    fi
    for name in $(chosen | cut -f 1 | sort | uniq -d); do
        note "$name: two certificates are for it; $(chosen | awk -F '\t' -v name="$name" '$1 == name { print $2; exit }') is used"
    done
}
