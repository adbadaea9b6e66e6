#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The plugin over TLS, by certificates and by a shared key: who has none, or
# another one, sees nothing of the directory.

# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"
need nbdkit nbdcopy nbdinfo qemu-img certtool psktool jq
[ -e "$PLUGIN" ] || skip 'the nbdkit plugin is not built'
nbdkit --dump-config | grep -qx tls=yes || skip 'nbdkit is built without TLS'

# The name of a socket must be short.
sockets=$(mktemp -d)
finish() {
    [ -z "${server:-}" ] || kill "$server" 2>/dev/null || :
    rm -rf "$sockets"
    cleanup
}
trap finish EXIT

start() { # argument...
    rm -f "$sockets/pid" "$sockets/nbd"
    nbdkit --foreground --exit-with-parent --unix "$sockets/nbd" \
        --pidfile "$sockets/pid" --tls=require "$@" "$PLUGIN" dir=source \
        rw=on size=8M fat-type=12 timezone=utc 2>>nbdkit.log </dev/null &
    server=$!
    until [ -s "$sockets/pid" ]; do
        kill -0 $server 2>/dev/null || fail "nbdkit: $(<nbdkit.log)"
        sleep 0.05
    done
}

stop() {
    kill $server
    wait $server || fail "nbdkit ended with $?: $(<nbdkit.log)"
    server=
}

# A certificate for a host or a client, signed by an authority.
authority() { # dir
    mkdir "$1"
    certtool --generate-privkey --key-type=ecdsa --outfile "$1/ca-key.pem" \
        2>>certtool.log
    printf '%s\n' "cn = $1" ca cert_signing_key expiration_days=30 >template
    certtool --generate-self-signed --load-privkey "$1/ca-key.pem" \
        --template template --outfile "$1/ca-cert.pem" 2>>certtool.log
}

certificate() { # dir server|client
    certtool --generate-privkey --key-type=ecdsa --outfile "$1/$2-key.pem" \
        2>>certtool.log
    printf '%s\n' 'cn = localhost' 'dns_name = localhost' "tls_www_$2" \
        signing_key expiration_days=30 >template
    certtool --generate-certificate --template template \
        --load-privkey "$1/$2-key.pem" --load-ca-privkey "$1/ca-key.pem" \
        --load-ca-certificate "$1/ca-cert.pem" --outfile "$1/$2-cert.pem" \
        2>>certtool.log
}

# Reading, and writing what becomes a file, through a URI.
reads_and_writes() { # uri
    nbdinfo --json "$1" >info.json
    jq -e '.TLS and .exports[0].description ==
        "directory as FAT12, QEMU VVFAT"' info.json >/dev/null ||
        fail "$1: $(<info.json)"
    rm -f plain.img copy.img
    # The label has the time of the directory, which changes here.
    img convert fat:size=8M:fat-type=12:timezone=utc:source plain.img
    nbdcopy "$1" copy.img
    cmp copy.img plain.img
    cp copy.img changed.img
    volume_of changed.img
    mcopy -o -i "changed.img@@$OFFSET" secret.txt ::/secret.txt
    nbdcopy --flush changed.img "$1"
    cmp secret.txt source/secret.txt
    nbdcopy --flush plain.img "$1"
    [ ! -e source/secret.txt ] || fail 'the file stays'
}

refuses() { # uri
    rm -f stolen.img
    run timeout 60 nbdcopy "$1" stolen.img
    [ "$STATUS" != 0 ] || fail "$1 is served"
    [ ! -s stolen.img ] || fail "$1 gives bytes away"
}

plain_tree source
seq 5000 >secret.txt
socket="socket=$sockets/nbd"

# ---- Certificates, of the client as well ----

authority ours
certificate ours server
certificate ours client
authority theirs
certificate theirs client
start --tls-certificates="$PWD/ours" --tls-verify-peer
reads_and_writes "nbds+unix://localhost/?$socket&tls-certificates=$PWD/ours"
refuses "nbd+unix:///?$socket"
refuses "nbds+unix://localhost/?$socket&tls-certificates=$PWD/theirs"
qemu-img convert -O raw --object \
    "tls-creds-x509,id=tls,dir=$PWD/ours,endpoint=client" --image-opts \
    "driver=nbd,server.type=unix,server.path=$sockets/nbd,tls-creds=tls,tls-hostname=localhost" \
    qemu.img
cmp qemu.img plain.img
stop

# ---- A key that both have ----

psktool -u alice -p keys.psk >psktool.log 2>&1
psktool -u alice -p other.psk >>psktool.log 2>&1
start --tls-psk="$PWD/keys.psk"
reads_and_writes "nbds+unix://alice@/?$socket&tls-psk-file=$PWD/keys.psk"
refuses "nbd+unix:///?$socket"
refuses "nbds+unix://alice@/?$socket&tls-psk-file=$PWD/other.psk"
stop
