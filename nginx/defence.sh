# A part of render.sh: which requests the front refuses by itself, whose word about a client it takes, and what browsers are told. Everything here
# but the last is off by default.
#
#   HEDGEROW_HOSTS               names that are served, *.example.org too; every other host gets 421   (empty: every host is served)
#   HEDGEROW_METHODS             methods that are let through; every other gets 501                    (empty: all)
#   HEDGEROW_CLIENT_RATE         requests a second of one client's address, and as many at once; more get 429   (0: no limit)
#   HEDGEROW_CLIENT_CONNECTIONS  requests of one client's address at the same time; more get 429       (0: no limit)
#   HEDGEROW_TRUSTED_PROXIES     addresses and networks of proxies in front of this one, whose X-Forwarded-For and X-Forwarded-Proto are believed
#   HEDGEROW_PROXY_PROTOCOL      1: those proxies speak the PROXY protocol, and X-Forwarded-For is not asked   (0)
#   HEDGEROW_SECURITY_HEADERS    0: no security headers are added to answers that lack them            (1)

hosts=${HEDGEROW_HOSTS:-}
methods=${HEDGEROW_METHODS:-}
client_rate=${HEDGEROW_CLIENT_RATE:-0}
client_connections=${HEDGEROW_CLIENT_CONNECTIONS:-0}
proxies=${HEDGEROW_TRUSTED_PROXIES:-}
proxy_protocol=${HEDGEROW_PROXY_PROTOCOL:-0}
security_headers=${HEDGEROW_SECURITY_HEADERS:-1}

# listed VALUE: one a line.
listed() {
    echo "$1" | tr ', \t' '\n\n\n' | sed '/^$/d'
}

# each NAME VALUE PATTERN WHAT: every one of a list looks like this.
each() {
    wrong=$(listed "$2" | grep -v -x -E "$3" | head -n 1 || true)
    if [ -n "$wrong" ]; then
        fail "$1=$2: $wrong is no $4"
    fi
}

check_defence() {
    case "$hosts$methods$proxies" in
        *'
'*) fail "HEDGEROW_HOSTS, HEDGEROW_METHODS, HEDGEROW_TRUSTED_PROXIES: a list stands in one line" ;;
    esac
    each HEDGEROW_HOSTS "$hosts" '(\*\.)?[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9])?' "host name"
    each HEDGEROW_METHODS "$methods" '[A-Z][A-Z-]*' "method"
    each HEDGEROW_TRUSTED_PROXIES "$proxies" '[0-9a-fA-F:.]+(/[0-9]+)?' "address or network"
    for limit in "CLIENT_RATE $client_rate" "CLIENT_CONNECTIONS $client_connections"; do
        if [ "${limit#* }" != 0 ]; then
            number "HEDGEROW_${limit% *}" "${limit#* }" 1 10000
        fi
    done
    case $proxy_protocol in
        0) ;;
        1)
            if [ -z "$proxies" ]; then
                fail "HEDGEROW_PROXY_PROTOCOL=1: name the proxies in HEDGEROW_TRUSTED_PROXIES; others are not believed"
            fi
            ;;
        *) fail "HEDGEROW_PROXY_PROTOCOL=$proxy_protocol: neither 0 nor 1" ;;
    esac
    case $security_headers in
        0 | 1) ;;
        *) fail "HEDGEROW_SECURITY_HEADERS=$security_headers: neither 0 nor 1" ;;
    esac
    if [ -n "$proxies" ]; then
        case " $built " in
            *" --with-http_realip_module "*) ;;
            *) fail "HEDGEROW_NGINX=$nginx: was built without --with-http_realip_module, which HEDGEROW_TRUSTED_PROXIES needs" ;;
        esac
    fi
}

# allowed VARIABLE SOURCE LIST: a map that is 1 for whatever the list lacks, and for nothing if it is empty.
allowed() {
    echo "map \$$2 \$$1 {"
    if [ "$2" = host ]; then
        echo "    hostnames;"
    fi
    if [ -n "$3" ]; then
        echo "    default 1;"
        listed "$3" | sort -u | sed 's/.*/    "&" 0;/'
    else
        echo "    default 0;"
    fi
    echo "}"
}

# defence.conf, at the level of http.
render_defence() {
    echo "# Rendered by render.sh: what the front refuses by itself, how the client has come to whoever stands before it, and whether security headers are added."
    echo "# https://nginx.org/en/docs/http/ngx_http_map_module.html#map"
    allowed misdirected host "$hosts"
    allowed unknown_method request_method "$methods"
    echo "# https://nginx.org/en/docs/http/ngx_http_geo_module.html#geo"
    echo "geo \$realip_remote_addr \$by_proxy {"
    echo "    default 0;"
    listed "$proxies" | sort -u | sed 's/.*/    "&" 1;/'
    echo "}"
    echo "map \"\$by_proxy \$http_x_forwarded_proto\" \$client_scheme {"
    echo "    default \$scheme;"
    echo "    '1 https' https;"
    echo "    '1 http' http;"
    echo "}"
    echo "map '' \$security_headers {"
    echo "    default $security_headers;"
    echo "}"
    if [ "$client_rate" != 0 ]; then
        echo "# https://nginx.org/en/docs/http/ngx_http_limit_req_module.html#limit_req_zone"
        echo "limit_req_zone \$binary_remote_addr zone=client_rate:10m rate=${client_rate}r/s;"
    fi
    if [ "$client_connections" != 0 ]; then
        echo "# https://nginx.org/en/docs/http/ngx_http_limit_conn_module.html#limit_conn_zone"
        echo "limit_conn_zone \$binary_remote_addr zone=client_connections:10m;"
    fi
}

# The lines of listen.conf, in the server.
render_limits() {
    if [ "$client_rate" != 0 ]; then
        echo "# https://nginx.org/en/docs/http/ngx_http_limit_req_module.html#limit_req"
        echo "limit_req zone=client_rate burst=$client_rate nodelay;"
        echo "limit_req_status 429;"
    fi
    if [ "$client_connections" != 0 ]; then
        echo "# https://nginx.org/en/docs/http/ngx_http_limit_conn_module.html#limit_conn"
        echo "limit_conn client_connections $client_connections;"
        echo "limit_conn_status 429;"
    fi
    if [ -n "$proxies" ]; then
        echo "# The client's address is what the last proxy that is trusted says."
        echo "# https://nginx.org/en/docs/http/ngx_http_realip_module.html#set_real_ip_from"
        listed "$proxies" | sort -u | sed 's/.*/set_real_ip_from &;/'
        if [ "$proxy_protocol" = 1 ]; then
            echo "real_ip_header proxy_protocol;"
        else
            echo "real_ip_header X-Forwarded-For;"
            echo "real_ip_recursive on;"
        fi
    fi
}
