# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# An export as a file of the host, by nbdfuse. Sourced after the lib.sh of the
# test, which calls fuse_cleanup when it ends.
#
# fuse_need                skip the test where there is no such thing
# fuse_mount URI           set FUSE_FILE; skips the test where nobody may
# fuse_unmount             what was written is with the server

FUSE_DIR=$(mktemp -d)
fuse_pid=

fuse_need() {
    command -v nbdfuse >/dev/null || skip 'nbdfuse is not installed (libnbd-bin)'
    command -v fusermount3 >/dev/null ||
        skip 'fusermount3 is not installed (package fuse3)'
    [ -w /dev/fuse ] || skip 'there is no /dev/fuse to be used'
}

fuse_mount() { # uri
    rm -f fuse.pid
    # shellcheck disable=SC2034 # for the test
    FUSE_FILE=$FUSE_DIR/nbd
    timeout 600 nbdfuse -P "$PWD/fuse.pid" "$FUSE_DIR" "$1" \
        >fuse.log 2>&1 </dev/null &
    fuse_pid=$!
    until [ -s fuse.pid ]; do
        if ! kill -0 $fuse_pid 2>/dev/null; then
            grep -q 'not permitted\|not allowed' fuse.log &&
                skip "FUSE cannot be used: $(tail -n 1 fuse.log)"
            fail "nbdfuse: $(<fuse.log)"
        fi
        sleep 0.05
    done
}

fuse_unmount() {
    local tries=0
    # Somebody may be looking at new file systems.
    until fusermount3 -u "$FUSE_DIR" 2>>fuse.log; do
        tries=$((tries + 1))
        [ $tries -lt 50 ] || break
        sleep 0.1
    done
    wait $fuse_pid || fail "nbdfuse: $(<fuse.log)"
    fuse_pid=
}

fuse_cleanup() {
    if [ -n "$fuse_pid" ]; then
        fusermount3 -u "$FUSE_DIR" 2>/dev/null || :
        kill $fuse_pid 2>/dev/null || :
    fi
    rmdir "$FUSE_DIR" 2>/dev/null || :
}
