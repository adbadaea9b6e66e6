# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# An export as a file of the host, by nbdfuse. Sourced after the lib.sh of the
# test, which calls fuse_cleanup when it ends.
#
# fuse_mount URI           set FUSE_FILE; skips the test where that cannot be
# fuse_unmount             what was written is with the server

FUSE_DIR=$(mktemp -d)
fuse_pid=

fuse_mount() { # uri
    command -v nbdfuse >/dev/null || skip 'nbdfuse is not installed'
    [ -w /dev/fuse ] || skip 'there is no /dev/fuse'
    rm -f fuse.pid
    # shellcheck disable=SC2034 # for the test
    FUSE_FILE=$FUSE_DIR/nbd
    timeout 300 nbdfuse -P "$PWD/fuse.pid" "$FUSE_DIR" "$1" \
        >fuse.log 2>&1 </dev/null &
    fuse_pid=$!
    until [ -s fuse.pid ]; do
        kill -0 $fuse_pid 2>/dev/null || skip "nbdfuse: $(<fuse.log)"
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
    wait $fuse_pid || { echo "FAILED: nbdfuse: $(<fuse.log)"; exit 1; }
    fuse_pid=
}

fuse_cleanup() {
    if [ -n "$fuse_pid" ]; then
        fusermount3 -u "$FUSE_DIR" 2>/dev/null || :
        kill $fuse_pid 2>/dev/null || :
    fi
    rmdir "$FUSE_DIR" 2>/dev/null || :
}
