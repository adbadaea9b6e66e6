# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Directories that are written to: each is served by NBD, writable, under a
# short name of the test's choice. Sourced after the lib.sh of the test, which
# calls export_cleanup when it ends.
#
# export_need              skip the test where a program is missing
# export_start NAME DIR [OPTION]...
# export_uri NAME          for an NBD client; export_socket NAME: its socket
# export_flush NAME        what was written through any connection is durable
# export_host NAME         set HOST: where DIR is to be looked at
# export_volume NAME       set VOLUME_TREE: the volume's files, read through NBD
# export_same NAME         DIR and the volume are the same
# export_kill NAME         SIGKILL; export_again NAME: the same server anew
# export_stop NAME         end it; that must have gone without an error
#
# With STAND_IN=yes in the environment an image made of DIR is written to, and
# HOST is what was in that image: the tests themselves can be tried so, apart
# from what they test.

PLUGIN=${PLUGIN:-$(dirname "$VVFAT_IMG")/nbdkit-vvfat-plugin.so}
STAND_IN=${STAND_IN:-no}
declare -A EXPORT_DIR EXPORT_ARGS EXPORT_PID
# The name of a socket must be short.
export_sockets=$(mktemp -d)

export_socket() { echo "$export_sockets/$1"; }
export_uri() { echo "nbd+unix:///?socket=$export_sockets/$1"; }

export_cleanup() {
    local name
    for name in "${!EXPORT_PID[@]}"; do
        kill "${EXPORT_PID[$name]}" 2>/dev/null || :
    done
    rm -rf "$export_sockets"
}

export_fail() {
    echo "FAILED: $*"
    exit 1
}

export_need() {
    local program
    for program in nbdkit nbdcopy qemu-io; do
        command -v $program >/dev/null || skip "$program is not installed"
    done
    [ -e "$PLUGIN" ] || skip 'the nbdkit plugin is not built'
}

export_again() { # name
    local name=$1 arguments
    local pid_file=$export_sockets/$name.pid
    mapfile -t arguments <<<"${EXPORT_ARGS[$name]}"
    rm -f "$pid_file" "$export_sockets/$name"
    nbdkit --foreground --exit-with-parent --unix "$export_sockets/$name" \
        --pidfile "$pid_file" "$PLUGIN" "${arguments[@]}" \
        2>>"$name.log" </dev/null &
    EXPORT_PID[$name]=$!
    until [ -s "$pid_file" ]; do
        kill -0 $! 2>/dev/null ||
            export_fail "nbdkit did not start: $(<"$name.log")"
        sleep 0.05
    done
}

export_start() { # name dir option...
    local name=$1 dir=$2 options
    shift 2
    EXPORT_DIR[$name]=$dir
    EXPORT_ARGS[$name]=$(printf '%s\n' "dir=$dir" rw=on "$@")
    if [ "$STAND_IN" != no ]; then
        options=$(printf ',%s' "$@")
        options=$(sed 's/,overlay=[^,]*//' <<<"$options")
        rm -f "$name.img"
        "$VVFAT_IMG" convert -O raw --image-opts \
            "driver=vvfat,dir=$dir${options%,}" "$name.img"
        EXPORT_ARGS[$name]=$(printf '%s\n' "image=$name.img" format=raw)
    fi
    rm -f "$name.log"
    export_again "$name"
}

export_flush() { # name
    qemu-io -f raw -c flush "$(export_uri "$1")" >"$1.flush" ||
        export_fail "flushing $1: $(<"$1.flush")"
}

# Without a word: a volume that is being written to may be half of something.
export_host() { # name
    HOST=${EXPORT_DIR[$1]}
    if [ "$STAND_IN" != no ]; then
        HOST=$1.host
        rm -rf "$HOST"
        "$VVFAT_IMG" extract -q -U -f raw "$1.img" "$HOST" || :
    fi
}

export_volume() { # name
    VOLUME_TREE=$1.volume
    rm -rf "$VOLUME_TREE" "$1.copy"
    nbdcopy "$(export_uri "$1")" "$1.copy"
    "$VVFAT_IMG" check -q -f raw "$1.copy" ||
        export_fail "the volume of $1 is damaged"
    "$VVFAT_IMG" extract -f raw "$1.copy" "$VOLUME_TREE" ||
        export_fail "the volume of $1 cannot be read"
}

# Names, contents, times of files, and which files may be written.
export_listing() { # dir
    (cd "$1" && find . -mindepth 1 -type d -printf 'dir %p\n' &&
        find . -type f -printf 'file %s %T@ %m %p\n' | export_modes &&
        find . -type f -exec md5sum {} +) | LC_ALL=C sort
}

# "file BYTES MTIME MODE NAME": the two seconds that FAT has, rounded down, and
# w or r for the mode.
export_modes() {
    awk 'match($0, /^file [0-9]+ [0-9]+(\.[0-9]*)? [0-7]+ /) {
        split(substr($0, 1, RLENGTH), word)
        time = int(word[3])
        owner = substr(word[4], length(word[4]) - 2, 1)
        printf "file %s %d %s %s\n", word[2], time - time % 2,
            owner ~ /[2367]/ ? "w" : "r", substr($0, RLENGTH + 1)
        next
    }
    { print }'
}

export_same() { # name
    export_host "$1"
    export_volume "$1"
    export_listing "$HOST" >"$1.of-host"
    export_listing "$VOLUME_TREE" >"$1.of-volume"
    diff -u "$1.of-host" "$1.of-volume" ||
        export_fail "$1: the directory (-) is not what is in the volume (+)"
    # Another reader of FAT.
    if command -v mcopy >/dev/null; then
        rm -rf "$1.mtools"
        mkdir "$1.mtools"
        export_mtools_copy "$1"
        diff -r "$HOST" "$1.mtools" ||
            export_fail "$1: mtools reads something else"
    fi
}

export_mtools_copy() { # name
    local offset
    offset=$(export_offset "$1.copy")
    [ -z "$(MTOOLSRC=/dev/null mdir -b -i "$1.copy@@$offset" ::/)" ] ||
        MTOOLSRC=/dev/null mcopy -s -n -m -i "$1.copy@@$offset" '::*' \
            "$1.mtools"
}

# Where the first partition begins, in bytes; 0 without a table.
export_offset() { # image
    case $(head -c 1 "$1" | od -An -tx1) in
        *eb* | *e9*) echo 0; return ;;
    esac
    case $(od -An -tx1 -j 450 -N 1 "$1") in
        *ee*) echo $(($(od -An -tu8 -j 1056 -N 8 "$1") * 512)) ;; # GPT
        *) echo $(($(od -An -tu4 -j 454 -N 4 "$1") * 512)) ;;
    esac
}

export_kill() { # name
    kill -KILL "${EXPORT_PID[$1]}"
    wait "${EXPORT_PID[$1]}" 2>/dev/null || :
}

export_stop() { # name
    local status=0
    kill "${EXPORT_PID[$1]}"
    wait "${EXPORT_PID[$1]}" || status=$?
    unset "EXPORT_PID[$1]"
    [ $status = 0 ] || export_fail "nbdkit ended with $status: $(<"$1.log")"
    ! grep -i error "$1.log" || export_fail "nbdkit reported errors for $1"
}
