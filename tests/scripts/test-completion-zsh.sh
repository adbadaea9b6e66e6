#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The completions of zsh: all options of all commands, formats and values that
# the tool has, and names of directories behind fat:. A zsh on a terminal of
# its own completes lines, and says what it could have gone on with.

set -euo pipefail

if ! command -v zsh >/dev/null; then
    echo 'zsh is not installed'
    exit 77
fi
zsh -n "$SRCDIR/tools/completions/_vvfat-img"

mkdir -p work/photos/album 'work/my files'
touch work/file.img
ln -s "$VVFAT_IMG" vvfat-img

# In the zsh: a key writes all that completing the line could add to a file.
cat >inner.zsh <<'END_ZSH'
PROMPT=
LISTMAX=100000
setopt noautolist nobeep extendedglob
fpath=($SRCDIR/tools/completions $fpath)
path=($TESTDIR $path)
autoload -Uz compinit
compinit -u -d $TESTDIR/dump
cd $TESTDIR/work
compadd() {
    local -a hits
    if [[ ${argv[1,(i)(-|--)]} != *-[OAD]\ * ]]; then
        builtin compadd -A hits "$@"
        (( ! $#hits )) || print -rl -- $hits >>$TESTDIR/offered.new
    fi
    builtin compadd "$@"
}
capture() {
    : >$TESTDIR/offered.new
    zle complete-word
    print -r -- $BUFFER >$TESTDIR/buffer
    mv $TESTDIR/offered.new $TESTDIR/offered
}
zle -N capture
bindkey '^T' capture
: >$TESTDIR/ready
END_ZSH

# Around it: type each line of a file, press the key, wait for the answer.
cat >outer.zsh <<'END_ZSH'
zmodload zsh/zpty zsh/zselect
wait_for() {
    repeat 3000; do
        [[ -e $1 ]] && return
        while zpty -r -t shell text; do screen+=$text; done
        zselect -t 1
    done
    print -r -- "no $1: $screen"
    exit 1
}
zpty shell 'zsh -f -i'
zpty -w shell ". $TESTDIR/inner.zsh"
wait_for $TESTDIR/ready
integer n=0
while IFS= read -r line; do
    rm -f $TESTDIR/offered
    zpty -n -w shell $'\x15'$line$'\x14'
    wait_for $TESTDIR/offered
    (( ++n ))
    sort -u $TESTDIR/offered >$TESTDIR/offered.$n
    cp $TESTDIR/buffer $TESTDIR/buffer.$n
done <lines
zpty -d shell
END_ZSH

failures=0
fail() {
    echo "$*"
    failures=$((failures + 1))
}

# expect LINE WORD...: exactly these. They are looked at when all are typed.
: >lines
expected=()
expect() {
    echo "$1" >>lines
    expected+=("$(printf '%s\n' "${@:2}" | sort -u)")
}

img() { "$VVFAT_IMG" "$@"; }

mapfile -t commands < <(sed -n \
    's/^extern const Command command_\([a-z]*\);/\1/p' \
    "$SRCDIR/tools/command.h")
read -ra formats < <(img help | sed -n 's/^Formats: //p')

expect 'vvfat-img ' "${commands[@]}"
expect 'vvfat-img --' --help --version
expect 'vvfat-img help ' "${commands[@]}" "${formats[@]}"
for command in "${commands[@]}"; do
    mapfile -t names < <(img help "$command" | awk '
        /^  -/ { print substr($1, 1, 2); $1 = ($1 ~ /,$/) ? $2 : "" }
        $1 ~ /^--/ { sub(/=.*/, "", $1); print $1 }')
    expect "vvfat-img $command -" "${names[@]}" --help
done

expect 'vvfat-img convert -O ' "${formats[@]}"
expect 'vvfat-img ls --output=' human json
expect 'vvfat-img check -r ' leaks all
expect 'vvfat-img bench -i ' threads
# The list of bash, which its test holds to what the tool takes.
cache_modes=$(sed -n '/CACHE)/,/;;/s/.*(\(writeback.*\)).*/\1/p' \
    "$SRCDIR/tools/completions/vvfat-img.bash")
modes=$(sed -n 's/.*MODE) values=(\(.*\)).*/\1/p' \
    "$SRCDIR/tools/completions/vvfat-img.bash")
# shellcheck disable=SC2086 # words
expect 'vvfat-img convert -t ' $cache_modes
# shellcheck disable=SC2086 # words
expect 'vvfat-img resize --preallocation=' $modes

option_names() { # format title
    img help "$1" | sed -n "/^$2/,/^\$/s/^  \\([^ =]*\\)=<.*/\\1/p"
}
for format in "${formats[@]}"; do
    mapfile -t names < <(option_names "$format" 'Options of '
        option_names "$format" 'Options that'
        [[ $format == @(file|null|vvfat) ]] ||
            printf '%s\n' file.driver file.filename)
    expect "vvfat-img info --image-opts driver=$format," "${names[@]}"
    mapfile -t names < <(option_names "$format" 'Options for creating')
    [ ${#names[@]} != 0 ] || continue
    expect "vvfat-img create -f $format -o " "${names[@]}"
    expect "vvfat-img convert -O $format -o size=1M," "${names[@]}"
done
expect 'vvfat-img create -f qcow2 -o size=1G,preallocation=' \
    off metadata falloc full
expect 'vvfat-img info --image-opts driver=' "${formats[@]}"
expect 'vvfat-img info --image-opts driver=vvfat,partition=' none mbr gpt

expect 'vvfat-img info fat:' 12 16 32 floppy rw 'my\ files' photos
expect 'vvfat-img info fat:rw:size=1G:ph' photos
expect 'vvfat-img info fat:photos/' album
expect 'vvfat-img info fat:partition=' none mbr gpt
expect 'vvfat-img info fi' file.img
expect 'vvfat-img convert -B fa' fat:
expect 'vvfat-img dd ' bs count skip if of
expect 'vvfat-img dd if=fi' file.img

TESTDIR=$PWD zsh -f outer.zsh </dev/null
[ ${#expected[@]} = "$(wc -l <lines)" ]
for ((i = 1; i <= ${#expected[@]}; i++)); do
    if [ "$(cat "offered.$i")" != "${expected[i - 1]}" ]; then
        fail "'$(sed -n "${i}p" lines)': $(tr '\n' ' ' <"offered.$i")" \
            $'\n'"and not: $(tr '\n' ' ' <<<"${expected[i - 1]}")"
    fi
done

# What a single match becomes.
typed() { # line after
    local n
    n=$(grep -nxF -- "$1" lines | cut -d: -f1)
    [ "$(cat "buffer.$n")" = "$2" ] || fail "'$1': $(cat "buffer.$n")"
}
typed 'vvfat-img info fat:rw:size=1G:ph' 'vvfat-img info fat:rw:size=1G:photos/'
typed 'vvfat-img convert -B fa' 'vvfat-img convert -B fat:'
typed 'vvfat-img bench -i ' 'vvfat-img bench -i threads '

[ "$failures" = 0 ]
