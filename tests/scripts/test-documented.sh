#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Every option of every command, format and of the plugin, as the code has it
# (which is what the help prints), is in the manual, and the manual has no
# others. So are the values that an option can have, and what the README and
# the examples use. The completions have tests of their own.

set -euo pipefail
docs=$SRCDIR/docs

failures=0
fail() {
    echo "$*"
    failures=$((failures + 1))
}

# The words of file A that are not in file B.
only_in() { # A B what
    local word
    while IFS= read -r word; do
        fail "$3: $word"
    done < <(comm -23 <(sort -u "$1") <(sort -u "$2"))
}

img() { "$VVFAT_IMG" "$@"; }

mapfile -t commands < <(sed -n \
    's/^extern const Command command_\([a-z]*\);/\1/p' \
    "$SRCDIR/tools/command.h")
read -ra formats < <(img help | sed -n 's/^Formats: //p')
[ ${#commands[@]} -gt 10 ] && [ ${#formats[@]} -gt 5 ]

# ---- What the help has ----

# Options of a command: "-f", "--output", one a line; with "rows", short and
# long names of one option on one line, and nothing that is not supported.
help_options() { # command [rows]
    img help "$1" | awk -v rows="${2:-}" '
        /^  -/ || /^      --/ {
            short = long = ""
            if ($1 ~ /^-[^-]/) { short = substr($1, 1, 2) }
            for (i = 1; i <= 2; i++) {
                if ($i ~ /^--/) { long = $i; sub(/=.*/, "", long) }
                if ($1 !~ /,$/) { break }
            }
            if (!rows) {
                if (short) { print short }
                if (long) { print long }
            } else if ($0 !~ /Not supported$/) {
                print short (short && long ? " " : "") long
            }
        }'
}

# "name values default" of the options of a format; values: on|off, or -;
# default: one word, or -.
format_options() { # format
    img help "$1" | sed '/^Options that every/,$d' | option_rows
}

option_rows() {
    sed -nE 's/^  ([^ =]+)=<([^>]*)>( .*)?$/\1 \2 \3/p' | awk '{
        values = $2 ~ /\|/ ? $2 : "-"
        def = "-"
        if (match($0, /\(default: [^ )]+\)/)) {
            def = substr($0, RSTART + 10, RLENGTH - 11)
        }
        print $1, values, def
    }'
}

# ---- What the manual has ----

# Flags in lines of mdoc: what stands behind Fl, up to the next macro.
flags() {
    awk '{
        on = 0
        for (i = 1; i <= NF; i++) {
            if ($i ~ /^\.?[A-Z][a-z]$/) { on = $i ~ /^\.?Fl$/; continue }
            if (!on || $i ~ /^[|,=()]$/) { continue }
            if ($i ~ /^-/) { print "-" $i; continue }
            for (j = 1; j <= length($i); j++) { print "-" substr($i, j, 1) }
        }
    }'
}

# The lines of a subsection (.Ss TITLE) of a page.
subsection() { # page title
    awk -v title=".Ss $2" '
        /^\.S[sh] / { on = $0 == title }
        on { print }' "$docs/$1"
}

# The lines of a command in the SYNOPSIS.
synopsis() { # command
    awk -v command=".Cm $1" '
        /^\.Sh / { part = $2 }
        part != "SYNOPSIS" { next }
        $0 == ".Nm" { fresh = 1; on = 0; next }
        fresh { on = $0 == command; fresh = 0 }
        on { print }' "$docs/vvfat-img.1"
}

# "name values" of the items .It Cm name= Ns Cm a | b; values: -, when they are
# no words.
items() {
    grep '^\.It .*Cm [^ ]*=' | awk '{
        gsub(/ Ns /, " ")
        for (i = 2; i <= NF; i++) {
            if ($i != "Cm" || $(i + 1) !~ /=$/) { continue }
            name = substr($(i + 1), 1, length($(i + 1)) - 1)
            values = ""
            if ($(i + 2) == "Cm") {
                for (j = i + 3; j <= NF && $j != ","; j++) {
                    values = values $j
                }
            }
            print name, values ~ /\|/ ? values : "-"
        }
    }'
}

# ---- Commands ----

subsection vvfat-img.1 'Options that several commands have' |
    grep '^\.It' | flags >several
for command in "${commands[@]}"; do
    help_options "$command" >in-help
    synopsis "$command" >text
    [ -s text ] || fail "vvfat-img.1: no synopsis of $command"
    flags <text >in-synopsis
    subsection vvfat-img.1 "$command" | grep '^\.It' | flags >in-section || :
    cat in-section several >in-manual

    only_in in-synopsis in-help "not in the help of $command, but its synopsis"
    only_in in-section in-help "not in the help of $command, but its section"
    help_options "$command" rows >rows
    tr ' ' '\n' <rows >supported
    only_in supported in-manual "vvfat-img.1 does not describe for $command"
    # The synopsis has one name of each.
    while read -r -a names; do
        printf '%s\n' "${names[@]}" | grep -qxFf in-synopsis ||
            fail "the synopsis of $command lacks ${names[*]}"
    done <rows

    # Operands such as if=FILE.
    img help "$command" | head -n 1 | grep -oE '\[?\b[a-z]+=' |
        tr -d '[' | sort -u >operands || :
    grep -oE 'Cm [a-z]+=' text | cut -c4- | sort -u >in-synopsis || :
    diff operands in-synopsis || fail "operands of $command"
done
for command in "${commands[@]}"; do
    help_options "$command" | sort -u
done | sort | uniq -d >in-help
only_in several in-help 'not an option that several commands have'

# ---- Formats ----

check_options() { # rows-of-the-help text where
    items <"$2" >in-manual
    cut -d' ' -f1 in-manual >documented
    cut -d' ' -f1 "$1" >names
    only_in documented names "no such option, but $3 has it"
    # Also without an item: "size and nocow as for file".
    grep -oE '(\bCm|,) [a-z0-9_.N-]+' "$2" | sed 's/.* //' >>documented
    only_in names documented "$3 lacks the option"
    # Values, where there is an item: in the order of the help.
    awk '$2 != "-" { print $1, $2 }' "$1" | sort -u >values
    while read -r name values; do
        grep -q "^$name " in-manual || continue
        grep -qxF "$name $values" in-manual ||
            fail "$3 does not give the values of $name: $values"
    done <values
}

for format in "${formats[@]}"; do
    format_options "$format" >rows
    [ -s rows ] || fail "no options of $format"
    if [ "$format" = vvfat ]; then
        sed -n '/^\.Sh OPTIONS/,/^\.Sh THE VOLUME/p' "$docs/vvfat.7" >text
        check_options rows text 'vvfat(7)'
    else
        subsection vvfat-formats.7 "$format" >text
        check_options rows text "vvfat-formats(7), $format,"
    fi
done
img help raw | sed '1,/^Options that every/d' | option_rows >rows
[ -s rows ] || fail 'no options that every image has'
subsection vvfat-formats.7 'Options that every image has' >text
check_options rows text 'vvfat-formats(7)'

# vvfat(7) tells the defaults, too.
format_options vvfat | awk '$3 != "-" { print $1, $3 }' >defaults
[ "$(wc -l <defaults)" -gt 8 ]
while read -r name default; do
    awk -v name="$name=" '
        /^\.It .*Cm [^ ]*=/ { on = index(" " $0 " ", " " name " ") }
        on { print }' "$docs/vvfat.7" >text
    grep -qF -- "$default" text ||
        fail "vvfat(7) does not tell the default of $name, $default"
done <defaults

# ---- The plugin ----

if [ -e "$PLUGIN" ] && command -v nbdkit >/dev/null; then
    nbdkit "$PLUGIN" --help | sed -n '/^plugin:/,$p' | option_rows |
        cut -d' ' -f1 | sort -u >parameters
    [ -s parameters ] || fail 'the plugin has no parameters'
    format_options vvfat | cut -d' ' -f1 | sort -u >names
    only_in names parameters 'not in the help of the plugin'
    comm -23 parameters names >own
    grep -v '^\.\\"' "$docs/nbdkit-vvfat-plugin.1" | grep '^\.It' |
        grep -oE 'Cm [a-z-]+=' | sed 's/^Cm //; s/=$//' >in-manual
    [ -s own ] || fail 'the plugin has no parameters of its own'
    only_in own in-manual 'nbdkit-vvfat-plugin(1) lacks'
    only_in in-manual parameters \
        'no parameter, but nbdkit-vvfat-plugin(1) has it'
fi

# ---- What the README and the examples use ----

# The flags of one line "COMMAND ARGUMENT...", checked by the command's help.
check_line() { # where command argument...
    local where=$1 command=$2 word letter
    shift 2
    printf '%s\n' "${commands[@]}" | grep -qxF -- "$command" || {
        fail "$where: there is no command $command"
        return
    }
    help_options "$command" >in-help
    echo --help >>in-help
    for word; do
        case $word in
            '|' | \\) break ;;
            --*)
                grep -qxF -- "${word%%=*}" in-help ||
                    fail "$where: $command has no $word" ;;
            -?*)
                word=${word#-}
                while [ "$word" ]; do
                    letter=${word:0:1}
                    word=${word:1}
                    grep -qxF -- "-$letter" in-help ||
                        fail "$where: $command has no -$letter"
                done ;;
        esac
    done
}

lines=0
for page in "$SRCDIR/README.md" "$docs"/*.[137]; do
    while read -r _ command words; do
        # shellcheck disable=SC2086 # words
        check_line "${page##*/}" "$command" $words
        lines=$((lines + 1))
    done < <(sed -nE 's/^(    |\.Dl )(vvfat-img [a-z])/\2/p' "$page")
done
[ "$lines" -gt 20 ] || fail "only $lines examples were found"

format_options vvfat | cut -d' ' -f1 >names
{
    # `commit=`, `overlay=FILE`, and fat:key=value:...
    grep -oE '`[a-z-]+=[A-Za-z]*`' "$SRCDIR/README.md" | tr -d '`'
    grep -ohE '\bfat:[^ ]*=[^ ]*:' "$SRCDIR/README.md" "$docs"/*.[17] |
        sed 's/^fat://' | tr ':' '\n' | grep '='
} | sed 's/=.*//' >used
[ -s used ]
only_in used names 'no option of vvfat, but used in README or manual'
for command in "${commands[@]}"; do
    help_options "$command"
done >all
grep -oE '`-[a-zA-Z]`|`--[a-z-]+`' "$SRCDIR/README.md" | tr -d '`' |
    grep -vx -- --install-deps >used
[ -s used ]
only_in used all 'no option of any command, but in the README'

# Pages that refer to each other are there, under that section.
grep -ohE '^\.Xr [a-z.-]*vvfat[a-z-]* [0-9]' "$docs"/*.[137] | sort -u |
    while read -r _ name section; do
        [ -e "$docs/$name.$section" ] || echo "$name.$section"
    done >missing
[ ! -s missing ] || fail "no such page: $(cat missing)"

[ "$failures" = 0 ]
