#!/bin/bash
# SPDX-License-Identifier: MIT
# Times: clamped to what FAT has, in local time or UTC, daylight saving both
# ways.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"
need fsck.fat mdir

mkdir tree
touch -d '1970-01-01 00:00:00 UTC' tree/epoch
touch -d '1979-12-31 23:59:59 UTC' tree/before
touch -d '1980-01-01 00:00:00 UTC' tree/first
touch -d '2107-12-31 23:59:58 UTC' tree/last
touch -d '2108-01-01 00:00:00 UTC' tree/after
touch -d '2024-02-29 12:34:57 UTC' tree/odd
run img convert fat:tree tree.img
[ "$STATUS" = 0 ] || fail "$ERR"
[ "$(grep -c "warning: clamped '" <<<"$ERR")" = 3 ] ||
    fail "not three files are reported as clamped: $ERR"
fsck_clean tree.img

listed() {
    img ls -l "$1" | sed 's/^[^ ]* *[0-9]* //' | sort
}
expect_output "1980-01-01 00:00:00 before
1980-01-01 00:00:00 epoch
1980-01-01 00:00:00 first
2024-02-29 12:34:56 odd
2107-12-31 23:59:58 after
2107-12-31 23:59:58 last" listed tree.img
output_has '2024-02-29 *12:34' mdir -i "tree.img@@$OFFSET" ::odd

# Local time by default, UTC on request, and back again the same way.
mkdir zones
touch -d '2024-01-15 12:00:00 UTC' zones/winter
touch -d '2024-07-15 12:00:00 UTC' zones/summer
touch -d '2024-03-31 00:59:58 UTC' zones/before-spring
touch -d '2024-03-31 01:00:00 UTC' zones/spring
touch -d '2024-10-26 23:30:00 UTC' zones/autumn
TZ=Europe/Berlin img convert fat:zones local.img
img convert fat:zones utc.img
TZ=Europe/Berlin img convert fat:timezone=utc:zones also-utc.img
cmp utc.img also-utc.img
expect_output "2024-01-15 13:00:00 winter
2024-03-31 01:59:58 before-spring
2024-03-31 03:00:00 spring
2024-07-15 14:00:00 summer
2024-10-27 01:30:00 autumn" listed local.img
TZ=Europe/Berlin img extract local.img local
same_tree zones local
TZ=Asia/Tokyo img extract --utc utc.img utc
same_tree zones utc
