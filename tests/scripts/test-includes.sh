#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The directions in which the source depends on itself, as
# docs/architecture.md draws them: tools -> block/vvfat, block -> util; inside
# the driver, the table below; and only the files named here call the host.

set -euo pipefail
cd "$SRCDIR"

# A noun of block/vvfat, the files that are its own (patterns), what it may
# include, with all that those may include. A new file needs a row.
nouns() {
    cat <<'END'
fat-format  fat-format.h                      -
cluster     cluster.*                         -
utf         utf.*                             -
hostfs      hostfs*                           -
report      report*                           -
fat         fat.*                             cluster,fat-format
names       names*,short-names*,codepage*     fat-format,utf
tree        tree*                             cluster,names
dirent      dirent*                           tree
partition   partition*                        geometry
geometry    geometry*                         fat,partition
boot        boot*                             geometry
layout      layout*                           boot,dirent,partition,report
scan        scan*                             hostfs,report,dirent
open-files  open-files*                       hostfs,tree,report
read        read*                             layout,open-files
guest-view  guest-*,problem*,volume*          boot,dirent,fat
fat-image   fat-image*                        guest-view,partition
extract     extract*                          guest-view
vvfat       vvfat*                            read,scan
END
}

# Nouns that see the block layer: no more than its errors, options and
# vectors reach the others.
sees_block='read open-files fat-image vvfat'

failed=0
complain() {
    echo "$*"
    failed=1
}

noun_of() { # file name
    local noun patterns pattern
    while read -r noun patterns _; do
        for pattern in ${patterns//,/ }; do
            # shellcheck disable=SC2254 # a pattern
            case $1 in
                $pattern) echo "$noun"; return ;;
            esac
        done
    done < <(nouns)
}

declare -A closure
may_reach() { # noun: all that it may include
    local next todo=$1
    local -A seen=()
    while [ -n "$todo" ]; do
        next=${todo%% *}
        todo=${todo#"$next"}
        todo=${todo# }
        [ -z "${seen[$next]:-}" ] || continue
        seen[$next]=1
        next=$(nouns | awk -v n="$next" '$1 == n && $3 != "-" { print $3 }')
        todo="$todo${todo:+${next:+ }}${next//,/ }"
    done
    echo " ${!seen[*]} "
}
for noun in $(nouns | awk '{ print $1 }'); do
    closure[$noun]=$(may_reach "$noun")
done

includes() { # file
    sed -n 's/^#include "\(.*\)".*/\1/p' "$1"
}

shopt -s nullglob
set -f # the patterns of the table are not for the shell to expand
files=$(set +f && echo block/vvfat/*.[ch])
for file in $files; do
    name=${file#block/vvfat/}
    noun=$(noun_of "$name")
    if [ -z "$noun" ]; then
        complain "$file: no row in the table of $0"
        continue
    fi
    for header in $(includes "$file"); do
        case $header in
            block/vvfat/*)
                other=$(noun_of "${header#block/vvfat/}")
                case "${closure[$noun]}" in
                    *" $other "*) ;;
                    *) complain "$file: $noun must not include $header" ;;
                esac ;;
            block/error.h | block/options.h | block/iov.h | util/*) ;;
            block/*)
                case " $sees_block " in
                    *" $noun "*) ;;
                    *) complain "$file: $noun must not see $header" ;;
                esac ;;
            *) complain "$file: $header: from the top of the tree, please" ;;
        esac
    done
done

set +f
for file in block/*.[ch] include/block/*.h util/*.c include/util/*.h; do
    for header in $(includes "$file"); do
        case $file:$header in
            util/*:util/* | include/util/*:util/* | block/*:util/*) ;;
            *:block/error.h | *:block/options.h | *:block/iov.h) ;;
            block/*:block/vvfat/*)
                complain "$file: the block layer must not include $header" ;;
            block/*:block/*) ;;
            include/block/*:block/*.h)
                [ -e "include/$header" ] ||
                    complain "$file: public, but $header is not" ;;
            *) complain "$file must not include $header" ;;
        esac
    done
done

# ---- Who calls the host, prints, or ends the program ----

host='open|openat|creat|close|read|pread|preadv|write|pwrite|pwritev|lseek'
host="$host|stat|fstat|fstatat|lstat|statx|opendir|fdopendir|readdir|realpath"
host="$host|readlink|readlinkat|mkdir|mkdirat|unlink|unlinkat|rename|renameat"
host="$host|ftruncate|truncate|futimens|utimensat|chdir|syscall|time"
host="$host|clock_gettime|gettimeofday|g_get_real_time|g_file_get_contents"
ends='exit|_exit|abort|printf|vprintf|puts|putchar|perror|signal|sigaction'
ends="$ends|g_print|g_printerr|g_log|g_error"

calls() { # object regular-expression
    nm -u "$1" | awk '{ print $2 }' | sed 's/@.*//; s/64$//' |
        grep -xE "$2" | sort -u | tr '\n' ' '
}

for file in block/*.c block/vvfat/*.c util/*.c; do
    object=$BUILD/obj/${file%.c}.o
    found=$(calls "$object" "$ends") || :
    [ -z "$found" ] || complain "$file: calls $found"
    case $file in
        block/vvfat/hostfs-*.c | block/vvfat/extract*.c) ;;
        block/vvfat/*)
            found=$(calls "$object" "$host") || :
            [ -z "$found" ] || complain "$file: calls the host: $found" ;;
    esac
done

exit $failed
