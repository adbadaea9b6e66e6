#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Two Linux guests at once mount the directory as nbdkit serves it, with no
# image made: both find all of it.

# shellcheck source=lib.sh
. "$SRCDIR/tests/guest/lib.sh"
need nbdkit nbdkit
[ -e "$PLUGIN" ] || skip 'the nbdkit plugin is not built'

guest_build_initrd
guest_tree source

# The socket's name must be short; all end with this script.
socket_dir=$(mktemp -d)
guests=()
trap 'kill "$nbdkit" "${guests[@]}" 2>/dev/null; rm -rf "$socket_dir"' EXIT
nbdkit --foreground --exit-with-parent --unix "$socket_dir/nbd" \
    --pidfile "$socket_dir/pid" "$PLUGIN" dir=source fat-type=32 &
nbdkit=$!
until [ -s "$socket_dir/pid" ]; do
    kill -0 "$nbdkit"
    sleep 0.1
done

for guest in first second; do
    mkdir $guest
    (cd $guest && guest_boot_linux "nbd+unix:///?socket=$socket_dir/nbd") &
    guests+=($!)
done
for guest in "${guests[@]}"; do
    wait "$guest"
done
guests=()
for guest in first second; do
    (cd $guest && guest_compare ../source)
done
