#!/bin/bash
# SPDX-License-Identifier: MIT
# 10,000 names that are alike in their first characters, in one directory.
# shellcheck source=tests/img/lib.sh
. "$(dirname "$0")/lib.sh"
need fsck.fat mdir

mkdir tree
(cd tree && seq -f 'alike-name-%.0f-file.text' 1 10000 | xargs touch)
echo x >tree/alike-name-5000-file.text

img convert fat:tree tree.img
fsck_clean tree.img
mdir -b -i "tree.img@@$OFFSET" ::/ | sed 's,^::/,,' | sort >listed
find tree -type f -printf '%f\n' | sort | cmp - listed ||
    fail 'mdir lists other names'
[ "$(img ls --output=json tree.img | grep short-name | sort -u | wc -l)" = \
    10000 ] || fail 'short names are not distinct'
img cat tree.img alike-name-5000-file.text | cmp - \
    tree/alike-name-5000-file.text

# More than a directory can hold: 65,536 entries, three of them a name here.
(cd tree && seq -f 'alike-name-%.0f-file.text' 10001 22000 | xargs touch)
expect_error 1 '(65,?536|entries|too many)' img convert fat:tree more.img
[ ! -e more.img ] || fail 'a target was made for a directory that is refused'
