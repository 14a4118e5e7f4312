#!/bin/sh
# authority.sh FOLDER USER NAMES: makes what HEDGEROW_HTTPS=development needs, unless it is there and good.
#
#   FOLDER/authority/authority.pem, .key    the development authority, which browsers are to trust; ten years
#   FOLDER/development.pem, .key            the certificate for localhost and NAMES (parted by blanks or commas); 397 days
#
# The authority can speak only for names that nobody owns on the internet and for private addresses, so who steals its key
# can pretend to be no public site. USER is who reads the certificate, if root makes it.
# A mistake is one sentence and exit status 2.

set -eu
umask 077

folder=$1
user=$2
names="localhost $(echo "$3" | tr ',A-Z' ' a-z')"
authority=$folder/authority
month_s=2592000

fail() {
    printf '%s\n' "$1" >&2
    exit 2
}

if [ ! -d "$folder" ]; then
    mkdir -p "$folder" 2>/dev/null || fail "HEDGEROW_CERTIFICATES=$folder: cannot be made"
    if [ "$(id -u)" = 0 ]; then
        chmod 711 "$folder"
    fi
fi

quietly() {
    openssl "$@" 2>/dev/null
}

make_authority() {
    mkdir -p "$authority" 2>/dev/null || fail "HEDGEROW_CERTIFICATES=$folder: cannot be written, to make a development authority"
    cat >"$authority/making.cnf" <<CONFIG
[req]
distinguished_name = who
x509_extensions = extensions
prompt = no
[who]
O = Hedgerow development
CN = Hedgerow development authority of $( (hostname 2>/dev/null || uname -n) | tr -cd 'A-Za-z0-9.-' | cut -c 1-28)
[extensions]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
nameConstraints = critical, @allowed
[allowed]
permitted;DNS.1 = localhost
permitted;DNS.2 = test
permitted;DNS.3 = example
permitted;DNS.4 = internal
permitted;DNS.5 = local
permitted;DNS.6 = home.arpa
permitted;IP.1 = 127.0.0.0/255.0.0.0
permitted;IP.2 = 10.0.0.0/255.0.0.0
permitted;IP.3 = 172.16.0.0/255.240.0.0
permitted;IP.4 = 192.168.0.0/255.255.0.0
permitted;IP.5 = ::1/ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
permitted;IP.6 = fc00::/fe00::
CONFIG
    quietly req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -days 3650 \
        -config "$authority/making.cnf" -keyout "$authority/making.key" -out "$authority/making.pem" \
        || fail "openssl req: cannot make a development authority"
    mv "$authority/making.key" "$authority/authority.key"
    mv "$authority/making.pem" "$authority/authority.pem"
    rm -f "$authority/making.cnf"
}

# What the certificate is for, as openssl writes it.
alternatives() {
    list=IP:127.0.0.1,IP:::1
    set -f # a name may begin with *
    for name in $names; do
        case $name in
            *[!a-z0-9.*:-]*) fail "HEDGEROW_HTTPS_NAMES: $name is neither a host name nor an address" ;;
            *:* | *[0-9].*[0-9].*[0-9].*[0-9]) list=$list,IP:$name ;;
            *) list=$list,DNS:$name ;;
        esac
    done
    echo "$list"
}

good() {
    [ -e "$folder/development.key" ] && [ "$(cat "$authority/names" 2>/dev/null)" = "$wanted" ] \
        && quietly x509 -in "$folder/development.pem" -noout -checkend $month_s >/dev/null \
        && [ "$(quietly x509 -in "$folder/development.pem" -noout -pubkey)" = "$(quietly pkey -in "$folder/development.key" -pubout)" ] \
        && quietly verify -CAfile "$authority/authority.pem" "$folder/development.pem" >/dev/null
}

make_certificate() {
    making=$authority/making
    {
        echo "basicConstraints = critical, CA:FALSE"
        echo "keyUsage = critical, digitalSignature"
        echo "extendedKeyUsage = serverAuth"
        echo "subjectAltName = $wanted"
    } >"$making.cnf" 2>/dev/null || fail "HEDGEROW_CERTIFICATES=$folder: cannot be written, to make a certificate"
    quietly req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -subj "/CN=localhost" \
        -keyout "$making.key" -out "$making.csr" || fail "openssl req: cannot make a key"
    quietly x509 -req -in "$making.csr" -CA "$authority/authority.pem" -CAkey "$authority/authority.key" -sha256 -days 397 \
        -set_serial "0x$(openssl rand -hex 16)" -extfile "$making.cnf" -out "$making.pem" \
        || fail "HEDGEROW_HTTPS_NAMES=$names: openssl cannot make a certificate for them"
    if ! quietly verify -CAfile "$authority/authority.pem" "$making.pem" >/dev/null; then
        rm -f "$making".*
        fail "HEDGEROW_HTTPS_NAMES=$names: the development authority is only for localhost, names below .localhost, .test, .example, .internal, .local and .home.arpa, and private addresses"
    fi
    if [ "$(id -u)" = 0 ]; then
        chown "$user" "$making.key"
        chmod 644 "$making.pem"
    fi
    mv "$making.key" "$folder/development.key"
    mv "$making.pem" "$folder/development.pem"
    echo "$wanted" >"$authority/names"
    rm -f "$making".*
}

wanted=$(alternatives) || exit 2
if ! quietly x509 -in "$authority/authority.pem" -noout -checkend $((month_s * 14)) >/dev/null || [ ! -e "$authority/authority.key" ]; then
    make_authority
fi
if ! good; then
    make_certificate
fi
