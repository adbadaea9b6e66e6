#!/bin/bash
# SPDX-License-Identifier: MIT
# bench: sends the requests that it says it sends.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"
need qemu-img

qemu-img create -q -f raw disk 1M

# without_time COMMAND...: what it prints, but for the time.
without_time() {
    "$@" | sed 's/[0-9]*\.[0-9]* seconds/T seconds/'
}

# same_words ARGUMENT...: the same lines as qemu-img.
same_words() {
    expect_output "$(without_time qemu-img bench "$@")" \
        without_time img bench "$@"
}
same_words -f raw -c 100 disk
same_words -f raw -c 100 -d 3 -s 8k -S 16k -o 4k disk
same_words -f raw -c 100 -t none disk
same_words -f raw -c 0 disk
expect_output "" img bench -q -f raw -c 10 disk
same_words -f raw -c 1000 -d 7 disk
same_words -f raw -i threads -c 10 disk
same_words -w -f raw -c 10 disk
same_words -w -f raw -c 64 -d 4 --flush-interval=8 disk
same_words -w -f raw -c 64 -d 4 --no-drain --flush-interval=8 disk
same_words -U -f raw -c 10 disk
same_words --image-opts -c 10 driver=raw,file.filename=disk

# What is written, and where: every second 4k, going round the end.
check_written() {
    truncate -s 0 disk ours
    truncate -s 1M disk ours
    qemu-img bench -q -f raw -w "$@" disk
    img bench -q -f raw -w "$@" ours
    cmp disk ours || fail "bench -w $* wrote something else"
}
for depth in 1 5 64; do
    check_written -c 40 -d $depth --pattern=0xa5 -s 4k -S 8k
    check_written -c 40 -d $depth --pattern=7 -s 512 -S 3000 -o 1000
    check_written -c 300 -d $depth --pattern=9 -s 4k -S 8k -o 4k
    check_written -c 200 -d $depth --pattern=9 --flush-interval=64
    check_written -c 201 -d $depth --pattern=9 --flush-interval=64 --no-drain
done
img create -q -f qcow2 disk.qcow2 4M
img bench -q -w -c 1024 --pattern=66 disk.qcow2
qemu-img check -q disk.qcow2 || fail 'bench -w left a damaged image'
head -c 4M /dev/zero | tr '\0' B >expected
qemu-img compare -q -f qcow2 disk.qcow2 -F raw expected ||
    fail 'bench -w did not write all of the image'

# A directory can be read so, too.
plain_tree tree
output_has '^Run completed in [0-9.]+ seconds\.$' img bench -c 500 fat:tree

# Errors.
# Far steps stay within the device.
img bench -q -c 1000 -S 3E -o 6E --image-opts driver=null,size=7E
expect_error 1 'Failed request: .*end of the device' \
    img bench -f raw -c 1 -o 1M disk
expect_error 1 'Failed request' img bench -f raw -c 5 -s 2M disk
expect_error 1 'Invalid request count' img bench -c -1 disk
expect_error 1 'Invalid queue depth' img bench -d 0 disk
expect_error 1 'Must be between 0 and 2147483647' img bench -s 3G disk
expect_error 1 'Invalid step_size' img bench -S -1 disk
expect_error 1 'Invalid pattern byte' img bench -w --pattern=256 disk
expect_error 1 'only available in write tests' \
    img bench --flush-interval=64 disk
expect_error 1 "can't be smaller than depth" \
    img bench -w --flush-interval=4 disk
expect_error 1 'Invalid aio option: native' img bench -i native disk
expect_error 1 'Invalid cache mode' img bench -t fast disk
expect_error 1 'mutually exclusive' img bench -w -U disk
expect_error 1 'Expecting one image file name' img bench
