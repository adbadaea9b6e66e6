#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What nbdkit's log says while a client writes into a directory: what is lost,
# or goes another way, as an error; the rest when it is asked for; and neither
# for ever.

# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"
need nbdkit nbdcopy qemu-io mcopy mkfs.fat
[ -e "$PLUGIN" ] || skip 'the nbdkit plugin is not built'
export PLUGIN

shape=(size=8M fat-type=12 partition=none timezone=utc)

# serve OPTION... -- COMMAND: the client, in nbdkit's shell; OUT is the log.
serve() {
    local options=()
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    [ "$1" != -- ] || shift
    rm -rf dir
    cp -a original dir
    # shellcheck disable=SC2016 # the shell of nbdkit has $uri
    timeout 300 nbdkit --unix - "$PLUGIN" dir rw=on "${shape[@]}" \
        "${options[@]}" --run "set -e; $1" >client.log 2>log ||
        fail "the client: $(<client.log) $(<log)"
}

errors_are() { # pattern... (extended regular expressions), each a line
    local pattern n=0
    grep 'error:' log >errors || :
    for pattern; do
        n=$((n + 1))
        sed -n "${n}p" errors | grep -Eq -- "$pattern" ||
            fail "error $n is not '$pattern': $(<errors)"
    done
    [ "$(wc -l <errors)" = $n ] || fail "not $n errors: $(<errors)"
}

plain_tree original
find original -exec touch -d '2022-02-02 02:02:02' {} +
echo guest >guest.txt
img convert "fat:size=8M:fat-type=12:partition=none:timezone=utc:original" \
    disk.img
cp disk.img changed.img
mcopy -o -i changed.img guest.txt ::/hello.txt
cp disk.img formatted.img
mkfs.fat -F 12 -i 12345678 formatted.img >mkfs.out

# Nothing to say, and with -v each commit.
serve -- 'nbdcopy --flush changed.img "$uri"'
[ ! -s log ] || fail "a word too much: $(<log)"
serve --verbose -- 'nbdcopy --flush changed.img "$uri"'
errors_are
grep -q 'debug: commit$' log || fail "no commit: $(<log)"

# Both sides have changed a file, whose name is no terminal's business.
odd=$'odd\e[31m'
touch -d '2022-02-02 02:02:02' "original/$odd"
rm -f odd.img
img convert -q "fat:size=8M:fat-type=12:partition=none:timezone=utc:original" \
    odd.img
name=$(mdir -b -i odd.img ::/ | grep odd)
mcopy -o -i odd.img guest.txt "$name"
export odd
serve -- 'echo host >"dir/$odd"; nbdcopy --flush odd.img "$uri"'
errors_are "error: conflict 'odd.x1b\[31m': the guest's version is 'odd.*"
rm "original/$odd"

# While the host fails, each flush does, and its client is told; the commit that
# failed is told once, until it has gone well. (What cannot be written when the
# directory is opened would be protected: a client is answered only after that.)
user=()
if [ "$(id -u)" = 0 ]; then
    user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
fi
cp disk.img below.img
mcopy -i below.img guest.txt '::/Sub Directory/new.txt'
rm -rf dir
cp -a original dir
chmod 755 .
[ ${#user[@]} = 0 ] || chown -R 65534:65534 dir
# shellcheck disable=SC2016 # the shell of nbdkit has $uri
"${user[@]}" timeout 300 nbdkit --unix - "$PLUGIN" dir rw=on "${shape[@]}" \
    --run 'nbdinfo --size "$uri" >/dev/null || exit 1
        chmod 0555 "dir/Sub Directory"
        ! nbdcopy --flush below.img "$uri" || exit 1
        ! qemu-io -f raw -c flush "$uri" >/dev/null || exit 1
        chmod 0755 "dir/Sub Directory"
        qemu-io -f raw -c flush "$uri" >/dev/null &&
        cmp guest.txt "dir/Sub Directory/new.txt"' >client.log 2>log ||
    fail "the host fails: $(<client.log) $(<log)"
sed -i '2,$ { /error: flushing: .*Permission denied/d }' log
errors_are 'error: commit: .*Sub Directory/new.txt.*Permission denied'

# Formatting ends the commits: told at once, and at the end with what is kept.
serve -- 'nbdcopy --flush formatted.img "$uri"
    qemu-io -f raw -c "write 7M 4k" -c flush "$uri"'
errors_are 'error: suspended: the guest has formatted the volume' \
    'error: closing: Not all .* is kept in'
same_tree original dir
rm dir.vvfat-rescue-*

# Who wants to hear nothing hears nothing.
serve --log=null -- 'nbdcopy --flush formatted.img "$uri"'
[ ! -s log ] || fail "--log=null: $(<log)"
rm dir.vvfat-rescue-*

# Requests that fail all day long.
rm -rf dir
cp -a original dir
at=$(img map "fat:size=8M:fat-type=12:partition=none:timezone=utc:dir" |
    awk '/hello.txt/ { print $1 }')
export at
serve -- ': >dir/hello.txt; for i in $(seq 30); do set -- "$@" -c "read $at 512"
    done; ! qemu-io -f raw "$@" "$uri"'
expected=()
for ((i = 0; i < 20; i++)); do expected+=("error: .*'hello.txt' has shrunk"); done
errors_are "${expected[@]}" 'error: 10 more like these'
