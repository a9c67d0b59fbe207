# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Completion of derivfs and derivctl in bash. Options and commands come from --help, so that they
# always match the program; names of derived files come from `derivctl list`.

# The words of --help that start with $1: options (with = where they take a value), or for "-o" the
# names that may follow it.
_derivfs_options() {
    if [ "$2" = -o ]; then
        "$1" --help 2>/dev/null | sed -nE 's/^ +-o ([a-z_]+)(=?).*/\1\2/p'
    else
        "$1" --help 2>/dev/null | grep -oE -- '(^|[ ,])--?[a-zA-Z][a-zA-Z_-]*=?' | tr -d ' ,' |
            grep -vxE -- '-o|--name='
        [ "$1" != derivfs ] || derivfs --help 2>/dev/null |
            sed -nE '/^FUSE options/q; s/^    -o ([a-z_]+)(=?).*/--\1\2/p'
    fi
}

# What may stand for the value of option $1, starting with $2.
_derivfs_value() {
    case $1 in
    *cache_dir | *cache_from) compgen -d -- "$2" ;;
    *cache_from_owner) compgen -u -- "$2" ;;
    --level) compgen -W 'participant group' -- "$2" ;;
    *recipe) derivctl recipes --json 2>/dev/null | sed -nE 's/^ *"name": "(.*)",/\1/p' ;;
    *recipes | -o) compgen -f -- "$2" ;;
    *layout) compgen -W 'beside derivatives' -- "$2" ;;
    *annex) compgen -W 'no get' -- "$2" ;;
    *engine) compgen -W 'slurm pbs sge sh' -- "$2" ;;
    *join) compgen -W 'alike all' -- "$2" ;;
    *log_level) compgen -W 'error warn info debug' -- "$2" ;;
    *xattr) compgen -W 'on off' -- "$2" ;;
    *with) compgen -W 'participants scans participants,scans' -- "$2" ;;
    esac
}

# Files of the system, and derived files that no mount shows, that start with $1.
_derivfs_paths() {
    local dir='' name
    [[ $1 != */* ]] || dir=${1%/*}/
    {
        compgen -f -- "$1"
        derivctl list -- "${dir:-.}" 2>/dev/null |
            sed -nE 's/^[a-z]+ +[^ ]+ +[0-9]+ runs? +//; T; s|.*/||; p' |
            while IFS= read -r name; do printf '%s\n' "$dir$name"; done
    } | sort -u | grep -F -- "$1"
}

# Put the lines on stdin that start with $1 into COMPREPLY.
_derivfs_reply() {
    local line
    while IFS= read -r line; do
        [[ $line != "$1"* ]] || COMPREPLY+=("$line")
    done
    if [ "${#COMPREPLY[@]}" -eq 1 ] && [[ ${COMPREPLY[0]} == *= ]]; then
        compopt -o nospace
    elif [ "${#COMPREPLY[@]}" -eq 1 ] && [ -d "${COMPREPLY[0]}" ]; then
        compopt -o filenames
    fi
}

_derivfs_complete() {
    local program=$1 current=$2 previous=$3 option='' i command=''
    COMPREPLY=()
    # bash makes words of their own of "--layout", "=" and "beside".
    if [ "$current" = = ]; then
        option=$previous current=''
    elif [ "$previous" = = ]; then
        option=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ ${COMP_WORDS[i]} == -* || ${COMP_WORDS[i - 1]} == [-=]* ]] || { command=${COMP_WORDS[i]} && break; }
    done
    if [ -n "$option" ]; then
        _derivfs_reply "$current" < <(_derivfs_value "$option" "$current")
    elif [ "$previous" = -o ] && [ "$program" = derivfs ]; then
        _derivfs_reply "$current" < <(_derivfs_options derivfs -o)
    elif [ "$previous" = -o ]; then
        _derivfs_reply "$current" < <(_derivfs_value -o "$current")
    elif [[ $current == -* ]]; then
        _derivfs_reply "$current" < <(_derivfs_options "$program" | sort -u)
    elif [ "$program" = derivfs ]; then
        compopt -o filenames
        _derivfs_reply "$current" < <(compgen -d -- "$current")
    else
        _derivctl_operand "$command" "$current"
    fi
}

_derivctl_operand() {
    case $1 in
    '') _derivfs_reply "$2" < <(derivctl --help 2>/dev/null | sed -nE 's/^ {4}([a-z]+) .*/\1/p') ;;
    run)
        compopt -o filenames
        _derivfs_reply "$2" < <(compgen -d -- "$2")
        ;;
    cache) _derivfs_reply "$2" < <(printf '%s\n' info verify prune clear) ;;
    status) _derivfs_reply "$2" < <(findmnt -rnt fuse.derivfs -o TARGET 2>/dev/null) ;;
    *)
        compopt -o filenames
        _derivfs_reply "$2" < <(_derivfs_paths "$2")
        ;;
    esac
}

complete -F _derivfs_complete derivfs derivctl
