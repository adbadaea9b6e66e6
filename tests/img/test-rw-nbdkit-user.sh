#!/bin/bash
# SPDX-License-Identifier: MIT
#
# nbdkit -u: whatever is made, in the directory and beside it, is made as that
# user, although nbdkit opens the directory for the first time before.

# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/img/export-lib.sh
. "$(dirname "$0")/export-lib.sh"
trap 'export_cleanup; cleanup' EXIT

need mcopy setpriv
export_need
[ "$STAND_IN" = no ] || skip 'a stand-in has no overlay'
if [ "$(id -u)" != 0 ] || ! setpriv --reuid nobody true 2>/dev/null; then
    skip 'not somebody who can become another user'
fi

chmod 711 .
mkdir -p here/dir kept server
echo hello >here/dir/hello.txt
chown -R nobody here kept server
socket=$(export_socket user)
uri=$(export_uri user)

# as_nobody OPTION...: in the directory "here".
as_nobody() {
    cd here
    exec timeout 300 nbdkit -f -u nobody -U "$socket" -P "$WORK/server/pid" \
        "$PLUGIN" dir rw=on size=8M fat-type=12 partition=none "$@" \
        2>"$WORK/log" </dev/null
}

# serve OPTION... -- COMMAND: COMMAND while it is served.
serve() {
    local options=()
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    as_nobody "${options[@]}" &
    until [ -s server/pid ]; do
        kill -0 $! 2>/dev/null || fail "nbdkit did not start: $(<log)"
        sleep 0.05
    done
    "$@" >client.log 2>&1 || fail "$*: $(<client.log) $(<log)"
    kill "$(<server/pid)"
    wait $! || fail "nbdkit: $(<log)"
    rm -f server/pid "$socket"
}

owned() {
    [ -z "$(find here kept ! -user nobody)" ] ||
        fail "not nobody's: $(find here kept ! -user nobody -ls)"
}

put() { # NAME
    nbdcopy "$uri" copy.img
    mcopy -i copy.img here/dir/hello.txt "::$1"
    nbdcopy --flush copy.img "$uri"
}

serve overlay=rel.qcow2 -- put one.txt
cmp here/dir/hello.txt here/dir/one.txt
[ -f here/rel.qcow2 ] || fail 'a relative name is somewhere else'
owned

# What waits in an overlay is not committed before the user has changed.
serve overlay=../kept/k.qcow2 commit=manual -- put two.txt
[ ! -e here/dir/two.txt ] || fail 'commit=manual has committed'
serve overlay=../kept/k.qcow2 -- nbdcopy "$uri" copy.img
cmp here/dir/hello.txt here/dir/two.txt
owned

# Where the user may not write, it is said who may not, and nothing is left.
rm kept/k.qcow2
chown root kept here/rel.qcow2
for file in kept/k.qcow2 here/rel.qcow2; do
    status=0
    (as_nobody "overlay=../$file") || status=$?
    rm -f server/pid "$socket"
    [ $status = 1 ] || fail "$file: ended with $status: $(<log)"
    grep -q 'Permission denied; nbdkit runs as another user now (-u)' log ||
        fail "$file: the log: $(<log)"
done
[ -z "$(ls kept)" ] || fail "left behind: $(ls kept)"
