#!/bin/bash
# SPDX-License-Identifier: MIT
#
# A short soak of guests behind nbdkit: it is killed and started again, and
# between that the tool looks into the overlay, or commits it.

command -v nbdkit >/dev/null || { echo 'nbdkit is not installed'; exit 77; }
command -v nbdcopy >/dev/null || { echo 'nbdcopy is not installed'; exit 77; }
[ -e "$PLUGIN" ] || { echo 'the nbdkit plugin is not built'; exit 77; }

exec "$BUILD/tests/soak/test-soak" --plugin "$PLUGIN" \
    --vvfat-img "$VVFAT_IMG" --seed 1 --time 4 --workers 3 --ops 80
