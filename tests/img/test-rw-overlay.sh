#!/bin/bash
# SPDX-License-Identifier: MIT
#
# overlay=FILE: what a guest wrote outlives the server, however it ends; the
# tool says what is in the file and commits it; a file that belongs to another
# directory, or is in use, is refused; what changed on the host meanwhile is
# told, and stays.

# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/img/export-lib.sh
. "$(dirname "$0")/export-lib.sh"
trap 'export_cleanup; cleanup' EXIT

need mcopy mdel mmd qemu-img jq
[ "$STAND_IN" = no ] || skip 'a stand-in has no overlay'
export_need

# guest NAME COMMAND...: mtools do it in a copy, which is written back; V is
# the volume.
guest() {
    local name=$1 copy
    shift
    nbdcopy "$(export_uri "$name")" guest.img
    copy=guest.img@@$(export_offset guest.img)
    V=$copy bash -ec "$*" || fail "mtools: $*"
    nbdcopy guest.img "$(export_uri "$name")"
}

tree() { # dir
    mkdir -p "$1/sub"
    seq 20000 >"$1/a.txt"
    echo kept >"$1/kept.txt"
    seq 300 >"$1/sub/b.txt"
    find "$1" -exec touch -d '2020-02-20 20:20:20' {} +
}

# ---- Killed, and started again ----

for fat in 12 16 32; do
    name=fat$fat
    tree $name.dir
    case $fat in
        12) options=(size=8M) ;;
        16) options=(size=24M) ;;
        32) options=(size=40M) ;;
    esac
    export_start $name $name.dir fat-type=$fat "${options[@]}" \
        overlay="$PWD/$name.qcow2"
    seq 5000 >new.txt
    guest $name 'mmd -i $V ::/new; mcopy -m -i $V new.txt ::/new/;
        mmove -i $V ::/a.txt ::/new/'
    export_flush $name
    [ -e $name.dir/new/new.txt ] || fail "$name: a flush does not commit"
    guest $name 'mdel -i $V ::/kept.txt; mcopy -m -i $V new.txt ::/late.txt'
    export_kill $name
    export_again $name
    qemu-io -f raw -c 'write -P 0 0x100000 0' -c flush "$(export_uri $name)" \
        >/dev/null
    [ -e $name.dir/sub/b.txt ] || fail "$name: a file is lost"
    export_volume $name
    [ -e $name.volume/late.txt ] || fail "$name: what was written is lost"
    [ ! -e $name.volume/kept.txt ] || fail "$name: a deleted file is back"
    export_stop $name
    img extract -q $name.copy after || true
    diff -r $name.volume $name.dir || fail "$name: the directory is another"
    rm -rf after
    export_again $name
    export_same $name
    export_stop $name
    run qemu-img check -q $name.qcow2
    [ "$STATUS" = 0 ] || fail "$name: qemu-img finds the overlay damaged"
done

# ---- The tool ----

tree tool.dir
export_start tool tool.dir size=24M overlay=tool.qcow2 commit=manual
guest tool 'mdel -i $V ::/kept.txt; mcopy -m -i $V new.txt ::/by-hand.txt'
run img check tool.qcow2
[ "$STATUS" != 0 ] || fail "check opens an overlay that is in use"
export_stop tool
[ -e tool.dir/kept.txt ] || fail "commit=manual has committed"
dir=$(img info --output=json tool.qcow2 |
    jq -r '."format-specific".data.overlay.of')
[ "$dir" = "$PWD/tool.dir" ] || fail "info says the directory is '$dir'"
run img check tool.qcow2
[ "$STATUS" = 0 ] || fail "check: $ERR"
case $OUT in
    *"Not in "*by-hand.txt*) ;;
    *) fail "check does not say what is pending: $OUT" ;;
esac
run img commit tool.qcow2
[ "$STATUS" = 0 ] || fail "commit: $ERR"
cmp new.txt tool.dir/by-hand.txt
[ ! -e tool.dir/kept.txt ] || fail "commit has not removed a file"
run img check tool.qcow2
case $OUT in
    *"has everything"*) ;;
    *) fail "check after commit: $OUT" ;;
esac

# ---- Files that do not belong here ----

refused() { # words option...
    local words=$1
    shift
    if nbdkit --unix - "$PLUGIN" rw=on "$@" --run true 2>refused.log; then
        fail "not refused: $*"
    fi
    grep -q -- "$words" refused.log ||
        fail "$*: '$words' is not said: $(<refused.log)"
}

tree other.dir
refused 'no overlay of this directory' dir=other.dir size=24M \
    overlay=tool.qcow2
refused 'give the same options' dir=tool.dir size=40M overlay=tool.qcow2
refused 'may not stand in' dir=tool.dir overlay=tool.dir/o.qcow2
qemu-img create -q -f qcow2 foreign.qcow2 64M
qemu-io -f qcow2 -c 'write -P 7 0 64k' foreign.qcow2 >/dev/null
sum=$(md5sum <foreign.qcow2)
refused 'holds something else' dir=other.dir overlay=foreign.qcow2
[ "$sum" = "$(md5sum <foreign.qcow2)" ] || fail "another's image was changed"
export_start first other.dir size=24M overlay=first.qcow2
tree second.dir
refused 'lock\|in use' dir=second.dir size=24M overlay=first.qcow2
export_stop first

# ---- What the host did meanwhile ----

export_start host other.dir size=24M overlay=first.qcow2 commit=manual
guest host 'mcopy -o -m -i $V new.txt ::/kept.txt'
export_kill host
echo 'the host was here' >other.dir/kept.txt
rm other.dir/sub/b.txt
echo new >other.dir/unknown.txt
run img commit first.qcow2
[ "$(<other.dir/kept.txt)" = 'the host was here' ] ||
    fail "what the host wrote was overwritten"
cmp new.txt 'other.dir/kept (guest).txt' || fail "the guest's version is lost"
[ -e other.dir/unknown.txt ] || fail "a file that no guest knows is gone"

# ---- A long write over a short one, and a kill ----

mkdir long.dir
image_io=$(dirname "$VVFAT_IMG")/tests/tools/image-io
long=fat:rw:size=24M:partition=none:commit=manual:overlay=long.qcow2:long.dir
"$image_io" "$long" 'write 1 9M 4k' 'write 2 9M 5M' 'write 3 8M 4k' \
    'write 4 6M 9M' flush abort
"$image_io" "$long" 'read -P 4 6M 9M' || fail 'older bytes are back'
