#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The completions of bash: all commands, options, formats and values that the
# tool has and no others, and names of directories behind fat:.

set -euo pipefail

if [ ! -e /usr/share/bash-completion/bash_completion ]; then
    echo 'bash-completion is not installed'
    exit 77
fi
set +u # not for what others wrote
# shellcheck disable=SC1091 # not in the source
. /usr/share/bash-completion/bash_completion
# shellcheck source=tools/completions/vvfat-img.bash
. "$SRCDIR/tools/completions/vvfat-img.bash"
set +e # functions end with what their last test said

failures=0
fail() {
    echo "$*"
    failures=$((failures + 1))
}

# What the shell would offer at the end of the line, one a line, sorted. As
# readline does, words are broken at ":" and "=", too.
offer() { # line
    local rest=$1
    COMP_WORDS=() COMP_CWORD=0 COMPREPLY=()
    COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9 COMP_KEY=9
    while [[ $rest =~ ^([[:space:]]*)(([^[:space:]:=\\]|\\.)+|[:=]+) ]]; do
        COMP_WORDS+=("${BASH_REMATCH[2]}")
        rest=${rest:${#BASH_REMATCH[0]}}
    done
    [[ ! $rest ]] || COMP_WORDS+=('')
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    COMP_WORDS[0]=$VVFAT_IMG
    COMP_LINE=$VVFAT_IMG${COMP_LINE#vvfat-img}
    COMP_POINT=${#COMP_LINE}
    _vvfat_img vvfat-img "${COMP_WORDS[COMP_CWORD]}" \
        "${COMP_WORDS[COMP_CWORD - 1]}"
    [ ${#COMPREPLY[@]} = 0 ] || printf '%s\n' "${COMPREPLY[@]}" | sort
}

expect() { # line word...
    local line=$1 wanted
    shift
    wanted=$(printf '%s\n' "$@" | sort)
    if [ "$(offer "$line")" != "$wanted" ]; then
        fail "'$line': $(offer "$line" | tr '\n' ' ')"$'\n'"and not: $*"
    fi
}

img() { "$VVFAT_IMG" "$@"; }

# ---- Commands and their options ----

mapfile -t commands < <(sed -n \
    's/^extern const Command command_\([a-z]*\);/\1/p' \
    "$SRCDIR/tools/command.h")
read -ra formats < <(img help | sed -n 's/^Formats: //p')
[ ${#commands[@]} -gt 10 ] || fail "commands: ${commands[*]}"
[ ${#formats[@]} -gt 5 ] || fail "formats: ${formats[*]}"

expect 'vvfat-img ' "${commands[@]}" --help --version
expect 'vvfat-img ex' extract
expect 'vvfat-img help ' "${commands[@]}" "${formats[@]}"

# Rows of a help begin with two spaces and a letter's option, or six.
for command in "${commands[@]}"; do
    mapfile -t names < <(img help "$command" | awk '
        /^  -/ { print substr($1, 1, 2); $1 = ($1 ~ /,$/) ? $2 : "" }
        $1 ~ /^--/ { sub(/=.*/, "=", $1); print $1 }')
    expect "vvfat-img $command -" "${names[@]}" --help
done

# ---- Values ----

# Each name of an argument has completions, or nothing can be offered for it.
for argument in $(for command in "${commands[@]}"; do
    img help "$command" | sed -nE \
        's/^  (-[^- ] |(-.,|   ) --[a-z-]+=)([^ ]+) .*/\3/p'
done | sort -u); do
    case $argument in
        FMT | CACHE | MODE | AIO | OPTIONS | FILE | BASE | *'|'*) ;;
        SIZE | STEP | COUNT | DEPTH | OFFSET | LEN | N | NUM | RATE) ;;
        BYTE | SNAPSHOT) ;;
        *) fail "no completions for arguments called $argument" ;;
    esac
done

expect 'vvfat-img convert -O ' "${formats[@]}"
expect 'vvfat-img info -f q' qcow qcow2
expect 'vvfat-img ls --output=' human json
expect 'vvfat-img ls --output=j' json
expect 'vvfat-img map --output h' human
expect 'vvfat-img check -r ' leaks all

img create -q disk.raw 64k
for mode in $(offer 'vvfat-img bench -t '); do
    img bench -q -c 1 -t "$mode" disk.raw || fail "cache mode $mode"
done
for mode in $(offer 'vvfat-img resize --preallocation='); do
    # Not all are possible with each format, but all are known.
    words=$(img resize --preallocation="$mode" disk.raw +1 2>&1)
    [[ $words != *Invalid* ]] || fail "$words"
done
for aio in $(offer 'vvfat-img bench -i '); do
    img bench -q -c 1 -i "$aio" disk.raw || fail "aio $aio"
done
[ "$(offer 'vvfat-img bench -t ' | wc -l)" = 6 ] || fail 'cache modes'

# ---- Options of formats ----

option_names() { # format title
    img help "$1" | sed -n "/^$2/,/^\$/s/^  \\([^ =]*\\)=<.*/\\1=/p"
}

for format in "${formats[@]}"; do
    mapfile -t names < <(option_names "$format" 'Options for creating')
    [ ${#names[@]} != 0 ] || continue
    expect "vvfat-img create -f $format -o " "${names[@]}"
    expect "vvfat-img convert -O $format a b -o " "${names[@]}"
    expect "vvfat-img measure -O $format -o " "${names[@]}"
done
expect 'vvfat-img create -f qcow2 -o size=1G,prea' '1G,preallocation='
expect 'vvfat-img create -f qcow2 -o size=1G,preallocation=' \
    off metadata falloc full
expect 'vvfat-img create -o size=1G,nocow=' on off

for format in "${formats[@]}"; do
    mapfile -t names < <(option_names "$format" 'Options of '
        option_names "$format" 'Options that'
        [[ $format == @(file|null|vvfat) ]] ||
            printf '%s\n' file.driver= file.filename=)
    expect "vvfat-img info --image-opts driver=$format," \
        "${names[@]/#/$format,}"
done
expect 'vvfat-img info --image-opts driver=v' vvfat
expect 'vvfat-img info --image-opts driver=vvfat,partition=' none mbr gpt

# ---- Names ----

mkdir -p photos/album 'my files' part
touch file.img photos/x.jpg
expect 'vvfat-img info ' disk.raw fat: file.img 'my\ files/' part/ photos/
expect 'vvfat-img info fi' file.img
expect 'vvfat-img info photos/' photos/album/ photos/x.jpg
expect 'vvfat-img convert -B ' disk.raw fat: file.img 'my\ files/' part/ photos/
expect 'vvfat-img info fat:' 12: 16: 32: floppy: rw: 'my\ files/' part/ photos/
expect 'vvfat-img info fat:photos/' photos/album/
expect 'vvfat-img info fat:rw:pho' photos/
expect 'vvfat-img info fat:12:floppy:' 16: 32: rw: 'my\ files/' part/ photos/
expect 'vvfat-img info fat:my\ f' 'my\ files/'
expect 'vvfat-img info fat:part' partition= part/
expect 'vvfat-img info fat:partition=' none: mbr: gpt:
expect 'vvfat-img info fat:size=1G:12:pho' photos/
expect 'vvfat-img info fat:rw=' on: off:
expect 'vvfat-img dd ' bs= count= skip= if= of=
expect 'vvfat-img dd if=f' file.img
for name in $(option_names vvfat 'Options of vvfat'); do
    [ "$name" = dir= ] || offer "vvfat-img info fat:${name%=}" |
        grep -qx -- "$name" || fail "fat:$name is not offered"
done

[ "$failures" = 0 ]
