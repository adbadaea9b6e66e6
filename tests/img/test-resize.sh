#!/bin/bash
# SPDX-License-Identifier: MIT
# Another size for an image, in qemu-img's words.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"
need qemu-img qemu-io

virtual_size() {
    qemu-img info --output=json -f "${1##*.}" "$1" |
        sed -n 's/.*"virtual-size": *\([0-9]*\).*/\1/p'
}

# resize SIZE ARGUMENT...: of disk.$FORMAT, which then has SIZE.
resize() {
    local size=$1
    shift
    expect_output 'Image resized.' img resize "$@"
    expect_output "$size" virtual_size "disk.$FORMAT"
    [ "$FORMAT" = raw ] || qemu-img check -q "disk.$FORMAT"
}

for FORMAT in raw qcow2; do
    disk=disk.$FORMAT
    qemu-img create -q -f $FORMAT $disk 4M
    qemu-io -f $FORMAT -c 'write -P 1 0 4M' $disk >/dev/null
    resize 5242880 $disk 5M
    resize 5242880 $disk 5M
    resize 6291456 $disk +1M
    resize 6291456 $disk +0
    resize 5767168 --shrink $disk -512k
    resize 5768192 $disk 5633k
    resize 8589934592 -f $FORMAT $disk 8G
    resize 2097152 --shrink $disk 2M
    # What was cut off does not come back.
    resize 4194304 $disk 4M
    qemu-io -f $FORMAT -c 'read -P 1 0 2M' -c 'read -P 0 2M 2M' $disk |
        grep -q 'verification failed' && fail "$disk: wrong contents"
    expect_output '' img resize -q $disk 4608k
    resize 5242880 --image-opts driver=$FORMAT,file.filename=$disk +512k
    for mode in metadata falloc full; do
        [ $FORMAT$mode != rawmetadata ] || continue
        before=$(virtual_size $disk)
        resize $((before + 1048576)) --preallocation=$mode $disk +1M
    done
    [ "$(stat -c %b $disk)" -ge 8192 ] || fail "$disk: nothing was allocated"
    qemu-io -f $FORMAT -c 'read -P 0 4M 3M' $disk |
        grep -q 'verification failed' && fail "$disk: new room is not zero"

    # ---- What is refused, and changes nothing ----

    md5sum $disk >sums
    expect_error 1 'Use the --shrink option to perform a shrink operation' \
        img resize $disk 1M
    expect_error 1 'warning: Shrinking an image will delete all data' \
        img resize $disk -1M
    expect_error 1 'New image size must be positive' \
        img resize --shrink $disk 0
    expect_error 1 'New image size must be positive' \
        img resize --shrink $disk -1G
    expect_error 1 'New image size must be positive' \
        img resize $disk +9223372036854775807
    expect_error 1 'Preallocation can only be used for growing images' \
        img resize --shrink --preallocation=full $disk 1M
    expect_error 1 "Invalid preallocation mode 'zz'" \
        img resize --preallocation=zz $disk 9M
    expect_error 1 "Parameter 'size' expects a non-negative number" \
        img resize $disk zz
    expect_error 1 "Parameter 'size' expects" img resize $disk +
    expect_error 1 'Not enough arguments' img resize $disk
    expect_error 1 'Expecting image file name and size' img resize -q $disk
    expect_error 1 'Expecting image file name and size' \
        img resize $disk 1M 2M
    expect_error 1 'No such file' img resize nosuch 1M
    expect_error 1 'mutually exclusive' \
        img resize --image-opts -f raw driver=raw 1M
    md5sum --quiet -c sums
done

# ---- Over a backing file that is longer, its end does not come up ----

qemu-img create -q -f raw base.raw 4M
qemu-io -f raw -c 'write -P 5 0 4M' base.raw >/dev/null
for size in 1M 1000448; do
    qemu-img create -q -f qcow2 -b base.raw -F raw top.qcow2 $size
    img resize -q top.qcow2 5M
    bytes=$(numfmt --from=iec $size)
    qemu-io -c "read -P 5 0 $bytes" \
        -c "read -P 0 $bytes $((5242880 - bytes))" top.qcow2 |
        grep -q 'verification failed' && fail "$size: the backing file shows"
    qemu-img check -q top.qcow2
done

# A directory has no size to change.
mkdir tree
expect_error 1 . img resize fat:tree 1G

# What we cut off does not come back when QEMU, which does not look at the rest
# of the last cluster, makes the image longer again.
for write in 'write -P 7 0 1M' 'write -c -P 7 320k 64k'; do
    rm -f cut.qcow2
    qemu-img create -q -f qcow2 cut.qcow2 1M
    qemu-io -c "$write" cut.qcow2 >/dev/null
    img resize -q --shrink cut.qcow2 366080
    qemu-img resize -q cut.qcow2 1M
    qemu-io -r -c 'read -P 7 327680 38400' -c 'read -P 0 366080 682496' \
        cut.qcow2 >out
    ! grep -q failed out || fail "$write, cut off: $(cat out)"
    qemu-img check -q cut.qcow2 || fail "$write, cut off: not sound"
done
