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
partition   partition*                        boot,geometry
geometry    geometry*                         fat,partition
boot        boot*                             geometry
layout      layout*                           boot,dirent,partition,report
fingerprint fingerprint.*                     layout
scan        scan*                             hostfs,report,dirent
open-files  open-files*                       hostfs,tree,report
read        read*                             layout,open-files
guest-view  guest-view*,guest-chain*,guest-check*,guest-names*,guest-load*,problem*,volume*          boot,dirent,fat
fat-image   fat-image*                        guest-view,partition
extract     extract*                          guest-view
inode       inode.*                           cluster,fat-format
linked      linked.*                          inode
plan        plan*                             inode
apply       apply*                            plan,hostfs,dirent
journal     journal*                          plan
kept-identity kept-identity.*                 journal,fingerprint
reconcile   reconcile*                        journal,apply,linked,report,names
scratch     scratch*                          -
rescue-image rescue-image.*                   scratch
redo        redo*                             -
overlay     overlay*                          scratch,redo
data-map    data-map*                         inode,open-files
guest-state guest-state*,guest-update.c,guest-fat*,guest-owner*,guest-orphan*,guest-dir*,guest-match* inode,layout,linked
commit      commit.*,commit-*                 apply,overlay,data-map,guest-state
committer   committer*                        commit
protect     protect*                          data-map,layout
options     vvfat-options*,vvfat-name*        committer,scan
writable    writable*,kept-journal.c,kept-make.c          options,protect,read,reconcile,kept-identity,rescue-image
kept-probe  kept-probe.*                      kept-identity,options
vvfat       vvfat.c                           writable
END
}

# Nouns that see the block layer: no more than its errors, options and
# vectors reach the others.
sees_block='read open-files fat-image redo overlay committer options protect rescue-image writable kept-probe vvfat'

failed=0
complain() {
    echo "$*"
    failed=1
}

mapfile -t rows < <(nouns)

noun_of() { # file name; sets $found
    local row noun patterns pattern -
    set -f # the patterns are not for the shell to expand
    found=
    for row in "${rows[@]}"; do
        read -r noun patterns _ <<<"$row"
        for pattern in ${patterns//,/ }; do
            # shellcheck disable=SC2254 # a pattern
            case $1 in
                $pattern) found=$noun; return ;;
            esac
        done
    done
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

# "file header" for every include of a header of ours.
includes() { # file...
    grep -H '^#include "' "$@" | sed 's/:#include "\(.*\)".*/ \1/'
}

for file in block/vvfat/*.[ch]; do
    noun_of "${file#block/vvfat/}"
    [ -n "$found" ] || complain "$file: no row in the table of $0"
done

while read -r file header; do
    noun_of "${file#block/vvfat/}"
    noun=$found
    case $header in
        block/vvfat/*)
            noun_of "${header#block/vvfat/}"
            case "${closure[${noun:-none}]:-}" in
                *" $found "*) ;;
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
done < <(includes block/vvfat/*.[ch])

while read -r file header; do
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
done < <(includes block/*.[ch] include/block/*.h util/*.c include/util/*.h)

# The model judges the driver: it must know nothing of it.
while read -r file header; do
    case $header in
        tests/model/* | block/block.h) ;;
        *) complain "$file must not include $header" ;;
    esac
done < <(includes tests/model/*.[ch])

# ---- Who calls the host ----

host='open|openat|creat|close|read|pread|preadv|write|pwrite|pwritev|lseek'
host="$host|stat|fstat|fstatat|lstat|statx|opendir|fdopendir|readdir|realpath"
host="$host|readlink|readlinkat|mkdir|mkdirat|unlink|unlinkat|rename|renameat"
host="$host|linkat|symlinkat|renameat2|ftruncate|truncate|fallocate|flock"
host="$host|fsync|fdatasync|syncfs|copy_file_range|ioctl|statvfs|fstatvfs"
host="$host|chmod|fchmod|fchmodat|chown|fchown|fchownat|getxattr|fgetxattr"
host="$host|setxattr|fsetxattr|listxattr|flistxattr|removexattr|faccessat"
host="$host|futimens|utimensat|chdir|syscall|time"
host="$host|clock_gettime|gettimeofday|g_get_real_time|g_file_get_contents"

objects=()
for file in block/*.c block/vvfat/*.c util/*.c; do
    objects+=("${file%.c}.o")
done
cd "$BUILD/obj"

while read -r object name; do
    file=${object%.o}.c
    case $name:$file in
        *:block/vvfat/hostfs-*.c | *:block/vvfat/extract*.c) ;;
        # Temporary files outside of the directory; when to commit.
        *:block/vvfat/scratch.c) ;;
        time:block/vvfat/committer-status.c | clock_gettime:block/vvfat/committer.c) ;;
        *:block/vvfat/*)
            [[ ! $name =~ ^($host)(64)?$ ]] ||
                complain "$file calls the host: $name" ;;
    esac
done < <(nm -uA "${objects[@]}" | sed -E 's/: *U / /; s/@.*//')

exit $failed
