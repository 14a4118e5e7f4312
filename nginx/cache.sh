# A part of render.sh: what the front keeps of answers, for apps that wish it (`[cache]` in app.toml).
#
#   HEDGEROW_CACHE_MB   how much it keeps, in MB; 0: nothing, whatever apps wish   (64, where there is room for it)
#   HEDGEROW_CACHE_FOLDER  where   (cache, in the target folder)

cache_mb=${HEDGEROW_CACHE_MB:-64}
cache_folder=${HEDGEROW_CACHE_FOLDER:-$target/cache}
SPARE_MB=32 # for answers that are being written

# Whether it can be: else the reason, in a sentence.
cache_trouble() {
    # Before 1.23 the second of two fields Vary or Cache-Control was not seen.
    if ! version_at_least 1 23 0; then
        echo "$nginx is older than 1.23, which is the first that may keep answers"
        return
    fi
    place=$(dirname "$cache_folder")
    if ! readable "$place"; then
        echo "nginx's processes, which are not root, cannot reach $place"
        return
    fi
    # A full disk would cut answers in the middle.
    free_mb=$(df -Pk "$place" 2>/dev/null | awk 'NR == 2 { print int($4 / 1024) }')
    used_mb=$(du -sk "$cache_folder" 2>/dev/null | awk '{ print int($1 / 1024) }')
    if [ "$((${free_mb:-0} + ${used_mb:-0}))" -lt "$((cache_mb + SPARE_MB))" ]; then
        echo "$place has room for less than $((cache_mb + SPARE_MB)) MB"
    fi
}

check_cache() {
    if [ "$cache_mb" = 0 ]; then
        return
    fi
    number HEDGEROW_CACHE_MB "$cache_mb" 1 65535
    folder HEDGEROW_CACHE_FOLDER "$cache_folder"
    trouble=$(cache_trouble)
    if [ -n "$trouble" ]; then
        # Without a word on stderr: most installations have no app that wishes it.
        notes="$notes# No answers are kept: $trouble.
"
        cache_mb=0
    fi
}

# cache.conf, at the level of http.
render_cache() {
    echo "# Rendered by cache.sh: what is kept of answers, and which requests are sent on to it."
    if [ "$cache_mb" = 0 ]; then
        cat <<'TEXT'
# Nothing: HEDGEROW_CACHE_MB is 0.
map '' $cache_step {
    default    "";
}
map '' $lost {
    default    @error_$lost_code$error_form;
}
TEXT
        return
    fi
    cat <<TEXT
# One place for all apps, with a size. An entry that nobody has asked for in a day goes, whatever its app says (hosting/cache_table.py).
# nginx looks at max_size every ten seconds only, and a full disk would cut answers; for keys there is never more room than for eight entries a MB,
# which have 128 KiB at most (appserver/hedgerow/worker/kept.py). 4 KiB hold 32 keys, some are nginx's own.
# https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_cache_path
proxy_cache_path "$cache_folder" levels=1:2 keys_zone=kept:$((cache_mb + 12))k max_size=${cache_mb}m inactive=1d use_temp_path=off;
TEXT
    cat <<'TEXT'

# Nobody: what is asked here is answered by what is kept, or not at all.
upstream nobody {
    zone nobody 64k;
    server 127.0.0.1:1 down;
}

# What X-Hedgerow-Cache says. 1: a worker may send the request on to what is kept; 2: its answer may be kept. Not both in one request, so nothing
# loops; nor after a refusal, or more than two troubles, since nginx allows ten jumps.
map "$cache_round $round $upstream_status" $cache_step {
    volatile;
    default                                                "";
    "~^ (?:first|again|held) [^:]*(?::[^:]*){0,2}$"         1;
    "~^fill cached "                                        2;
}

# Of an answer that is kept the worker tells for how long, in its last Cache-Control; no client is told that.
map $upstream_http_x_accel_expires $is_not_kept {
    volatile;
    default    0;
    ""         1;
    0          1;
}
map "$upstream_http_x_accel_expires $upstream_http_cache_control" $cache_control {
    volatile;
    default                                                                            $upstream_http_cache_control;
    "~^[1-9][0-9]* (?:(?<apps_cache_control>[^\r\n]*), )?stale-while-revalidate=[0-9]+, stale-if-error=[0-9]+$"    $apps_cache_control;
}

# What a client is told of it, RFC 9211.
map $upstream_cache_status $cache_status {
    volatile;
    default       "hedgerow; fwd=miss";
    HIT           "hedgerow; hit";
    UPDATING      "hedgerow; hit; detail=renewed-by-another";
    STALE         "hedgerow; hit; detail=stale-if-error";
    EXPIRED       "hedgerow; fwd=stale";
    ""            "";
}

# When nobody has answered a GET: what is kept, if its app wishes that, else the page. No worker has looked whether that may be its answer
# (appserver/hedgerow/worker/kept.py, asks).
map "$request_method $refusals $http_authorization$http_range$content_length$upgrade_to_worker" $lost {
    volatile;
    default             @error_$lost_code$error_form;
    "~^(GET|HEAD) 0 $"  @lost;
}
TEXT
}

# kept.conf, in the public server.
render_kept() {
    echo "# Rendered by cache.sh: where a request is answered by what is kept."
    if [ "$cache_mb" != 0 ]; then
        echo "include snippets/cache.conf;"
    fi
}
