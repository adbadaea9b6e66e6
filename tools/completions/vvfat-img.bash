# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# bash completion for vvfat-img.
#
# Commands, options, formats and values are asked of the tool itself, by its
# help. What an option takes is known by the name that the help gives to its
# argument.
#
# Variables of _vvfat_img that the other functions see: cur (the whole word up
# to the cursor), words, cword, tool.

_vvfat_img_help() { # [command | format]
    "$tool" help "$@" 2>/dev/null
}

_vvfat_img_commands() {
    _vvfat_img_help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'
}

_vvfat_img_formats() {
    _vvfat_img_help | sed -n 's/^Formats: //p' | tr ' ' '\n'
}

# The options of a command, each with the name of its argument: "-f FMT",
# "--output human|json", "-q".
_vvfat_img_options() { # command
    local line row='^  (-[^- ])?(, |    )?(--[a-z-]+)?(=([^ ]+))?( ([^ ]+))?'
    while IFS= read -r line; do
        [[ $line =~ $row ]] || continue
        local short=${BASH_REMATCH[1]} long=${BASH_REMATCH[3]}
        if [[ $long ]]; then
            echo "$long ${BASH_REMATCH[5]}"
            [[ ! $short ]] || echo "$short ${BASH_REMATCH[5]}"
        elif [[ $short ]]; then
            echo "$short ${BASH_REMATCH[7]}"
        fi
    done < <(_vvfat_img_help "$1")
    echo --help
}

# What the argument of an option is called; false when it takes none.
_vvfat_img_argument() { # command option
    local name argument
    while read -r name argument; do
        if [[ $name == "$2" ]]; then
            echo "$argument"
            [[ $argument ]]
            return
        fi
    done < <(_vvfat_img_options "$1")
    return 1
}

# The options of a format (which may not be known yet) as "name type": those for
# opening an image and those that every image has, or those for creating one.
_vvfat_img_format_options() { # format|'' runtime|create
    local from='Options of '
    [[ $2 != create ]] || from='Options for creating'
    [[ ! $1 ]] || _vvfat_img_help "$1" | sed -n \
        "/^$from/,/^\$/s/^  \\([^ =]*\\)=<\\([^>]*\\)>.*/\\1 \\2/p"
    [[ $2 == create ]] || _vvfat_img_help "${1:-raw}" | sed -n \
        '/^Options that/,/^$/s/^  \([^ =]*\)=<\([^>]*\)>.*/\1 \2/p'
}

# The value of the first such option on the line.
_vvfat_img_given() { # letter
    local i
    for ((i = 2; i < cword; i++)); do
        if [[ ${words[i]} == "-$1" ]]; then
            echo "${words[i + 1]}"
            return
        fi
    done
}

# Reply with those of the words that go on from $cur. The shell breaks words at
# "=" and ":" and replaces only what is behind the last of them.
_vvfat_img_reply() { # word...
    local word lead='' breaks=''
    [[ $COMP_WORDBREAKS != *:* ]] || breaks+=':'
    [[ $COMP_WORDBREAKS != *=* ]] || breaks+='='
    [[ ! $breaks ]] || lead=${cur%"${cur##*["$breaks"]}"}
    for word; do
        if [[ $word == "$cur"* ]]; then
            COMPREPLY+=("${word#"$lead"}")
        fi
    done
    for word in "${COMPREPLY[@]}"; do
        [[ $word == *[:=/] ]] || return 0
    done
    compopt -o nospace 2>/dev/null
}

# Reply with paths, behind a beginning of $cur.
_vvfat_img_paths() { # beginning [-d]
    local rest=${cur#"$1"} path found=()
    rest=${rest//\\/}
    while IFS= read -r path; do
        [[ ! -d $path ]] || path+=/
        printf -v path %q "$path"
        found+=("$1$path")
    done < <(compgen "${2:--f}" -- "$rest")
    _vvfat_img_reply "${found[@]}"
}

# Reply with values of an option of a format, behind a beginning of $cur.
_vvfat_img_option_value() { # beginning name type tail
    local value values found=()
    case $2 in
        dir) _vvfat_img_paths "$1" -d ;;
        filename | *.filename | overlay | *-code | backing_file | image)
            _vvfat_img_paths "$1" ;;
        driver | *.driver | backing_fmt)
            for value in $(_vvfat_img_formats); do
                found+=("$1$value$4")
            done ;;
        *)
            if [[ $3 == *'|'* ]]; then
                IFS='|' read -ra values <<<"$3"
                found=("${values[@]/#/"$1"}")
                found=("${found[@]/%/"$4"}")
            fi ;;
    esac
    [[ ${#found[@]} == 0 ]] || _vvfat_img_reply "${found[@]}"
}

# key=value,key=value,...: options of a format.
_vvfat_img_keyval() { # beginning format runtime|create
    local last=${cur#"$1"} head name type found=()
    last=${last##*,}
    head=${cur%"$last"}
    while read -r name type; do
        if [[ $last == "$name="* ]]; then
            _vvfat_img_option_value "$head$name=" "$name" "$type" ''
            return
        fi
        found+=("$head$name=")
    done < <(_vvfat_img_format_options "$2" "$3"
        [[ $3 == create || $2 == @(file|null|vvfat) ]] ||
            printf '%s string\n' file.driver file.filename)
    _vvfat_img_reply "${found[@]}"
}

# fat:[word:]...DIR
_vvfat_img_fat() {
    local head=fat: word name type options found=()
    options=$(_vvfat_img_format_options vvfat runtime)
    while [[ ${cur#"$head"} == *:* ]]; do
        word=${cur#"$head"}
        word=${word%%:*}
        case $word in
            12 | 16 | 32 | floppy | rw) ;;
            *=*) grep -q "^${word%%=*} " <<<"$options" || break ;;
            *) break ;;
        esac
        head+=$word:
    done
    word=${cur#"$head"}
    while read -r name type; do
        if [[ $word == "$name="* ]]; then
            _vvfat_img_option_value "$head$name=" "$name" "$type" :
            return
        fi
        # All of them would hide the directories.
        [[ ! $word || $name == dir ]] || found+=("$head$name=")
    done <<<"$options"
    for name in 12 16 32 floppy rw; do
        [[ :$head == *:$name:* ]] || found+=("$head$name:")
    done
    _vvfat_img_reply "${found[@]}"
    _vvfat_img_paths "$head" -d
}

_vvfat_img_name() {
    if [[ $cur == fat:* ]]; then
        _vvfat_img_fat
    else
        _vvfat_img_reply fat:
        _vvfat_img_paths ''
    fi
}

# An image: by its name, or by options where the line says so.
_vvfat_img_image() {
    local driver=''
    if [[ " ${words[*]} " != *' --image-opts '* ]]; then
        _vvfat_img_name
        return
    fi
    if [[ ,$cur == *,driver=*,* ]]; then
        driver=,$cur
        driver=${driver##*,driver=}
    fi
    _vvfat_img_keyval '' "${driver%%,*}" runtime
}

# The argument of an option, behind a beginning of $cur.
_vvfat_img_value() { # beginning argument command
    local format values=()
    case $2 in
        FMT) mapfile -t values < <(_vvfat_img_formats) ;;
        CACHE)
            values=(writeback writethrough none off directsync unsafe) ;;
        MODE) values=(off metadata falloc full) ;;
        AIO) values=(threads) ;;
        OPTIONS)
            format=$(_vvfat_img_given O)
            [[ $3 != create ]] || format=$(_vvfat_img_given f)
            _vvfat_img_keyval "$1" "${format:-raw}" create ;;
        FILE | BASE) _vvfat_img_name ;;
        *'|'*) IFS='|' read -ra values <<<"$2" ;;
    esac
    if [[ ${#values[@]} != 0 ]]; then
        _vvfat_img_reply "${values[@]/#/"$1"}"
    fi
}

# Operands such as if=FILE that the usage line names.
_vvfat_img_operand() { # command
    local word names=()
    for word in $(_vvfat_img_help "$1" | head -n 1); do
        word=${word#[}
        [[ $word != [a-z]*=* ]] || names+=("${word%%=*}=")
    done
    if [[ ${#names[@]} == 0 ]]; then
        _vvfat_img_image
    elif [[ $cur == @(if|of)=* ]]; then
        _vvfat_img_paths "${cur%%=*}="
    else
        _vvfat_img_reply "${names[@]}"
    fi
}

_vvfat_img() {
    local cur prev words cword tool command argument
    if declare -F _comp_initialize >/dev/null; then
        _comp_initialize -n := -- "$@" || return
    else
        _init_completion -n := || return
    fi
    tool=${words[0]/#\~/$HOME}
    command=${words[1]-}
    COMPREPLY=()

    # shellcheck disable=SC2046 # words
    if ((cword == 1)); then
        _vvfat_img_reply $(_vvfat_img_commands) --help --version
    elif [[ $cur == --*=* ]]; then
        if argument=$(_vvfat_img_argument "$command" "${cur%%=*}"); then
            _vvfat_img_value "${cur%%=*}=" "$argument" "$command"
        fi
    elif argument=$(_vvfat_img_argument "$command" "$prev"); then
        _vvfat_img_value '' "$argument" "$command"
    elif [[ $cur == -* ]]; then
        local name takes found=()
        while read -r name takes; do
            [[ $name != --* || ! $takes ]] || name+='='
            found+=("$name")
        done < <(_vvfat_img_options "$command")
        _vvfat_img_reply "${found[@]}"
    elif [[ $command == help ]]; then
        _vvfat_img_reply $(_vvfat_img_commands) $(_vvfat_img_formats)
    else
        _vvfat_img_operand "$command"
    fi
} &&
    complete -F _vvfat_img vvfat-img
