#!/bin/bash
# SPDX-License-Identifier: MIT
#
# A Linux guest mounts the directory as nbdkit serves it, with no image made.

# shellcheck source=lib.sh
. "$SRCDIR/tests/guest/lib.sh"
need nbdkit nbdkit
[ -e "$PLUGIN" ] || skip 'the nbdkit plugin is not built'

guest_build_initrd
guest_tree source

# The socket's name must be short; nbdkit ends with this script.
socket_dir=$(mktemp -d)
trap 'kill "$nbdkit" 2>/dev/null; rm -rf "$socket_dir"' EXIT
nbdkit --foreground --exit-with-parent --unix "$socket_dir/nbd" \
    --pidfile "$socket_dir/pid" "$PLUGIN" dir=source fat-type=32 &
nbdkit=$!
until [ -s "$socket_dir/pid" ]; do
    kill -0 "$nbdkit"
    sleep 0.1
done

guest_boot_linux "nbd+unix:///?socket=$socket_dir/nbd"
guest_compare source
