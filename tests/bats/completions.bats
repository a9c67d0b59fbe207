#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Completions: typed into a bash and a zsh on a terminal, where TAB completes what is then run; fish
# tells what it would offer.

# bats file_tags=release,once

load helper

COMPLETIONS=$BATS_TEST_DIRNAME/../../contrib/completions

# type_into SHELL LINE: the line with TABs, typed at the prompt of an interactive shell; what is on
# the screen then. The shell runs the line, says "done" and ends.
type_into() {
    local start
    case $1 in
    bash) start='bash --norc --noprofile -i' ;;
    zsh) start='zsh -f -i' ;;
    esac
    export PS1='> ' HISTFILE=
    # What is typed waits in the terminal until the shell reads it.
    case $1 in
    bash) printf 'source %s\n' "$COMPLETIONS/derivfs.bash" ;;
    zsh) printf 'fpath=(%s $fpath); autoload -Uz compinit; compinit -u -D\n' "$COMPLETIONS" ;;
    esac >typed
    printf '%b\n' "$2" >>typed
    echo exit >>typed
    TERM=dumb timeout "$PATIENCE_S" script -qec "stty -echo; exec $start" /dev/null <typed 2>&1 | tr -d '\r'
}

# In a real shell, completed lines do what they say.
completes_in() {
    make_run "$DS/run.nii"
    run type_into "$1" "derivctl --versi\t"
    assert_output --partial "$(derivctl --version)"
    run type_into "$1" "derivctl expl\t $DS/std.n\t"
    assert_output --partial 'expression: std(bold)'
    run type_into "$1" "derivctl --cache_dir=$CACHE cache inf\t"
    assert_output --partial "$CACHE"
    run type_into "$1" "derivctl --layout=deri\t --annex=ge\t list $DS/; echo layout-done"
    assert_output --partial layout-done
    refute_output --partial 'expected one of'
    run type_into "$1" "derivfs --xattr=of\t --log_level=deb\t $DS nowhere"
    assert_output --partial '/nowhere: cannot be mounted on'
}

@test "bash completes commands, options, values, and derived files without a mount" {
    completes_in bash
    mount_derivfs "$DS"
    run type_into bash "derivctl stat\t ${MNT%??}\t --json | grep -c version"
    assert_output --partial 1
}

@test "bash takes names of directories for nothing but names" {
    local dir='|;e touch was-run;#'
    mkdir "$dir"
    make_run "$dir/run.nii"
    run type_into bash "derivctl explain '$dir/ts\tnii' | grep expression"
    assert_output --partial 'expression: mean(bold) / std(bold)'
    assert_not_exists was-run
}

@test "zsh completes commands, options, values, and derived files without a mount" {
    completes_in zsh
}

@test "fish offers commands, options, values, and derived files without a mount" {
    make_run "$DS/run.nii"
    offers() { fish --no-config -c "source $COMPLETIONS/derivfs.fish; complete -C '$1'"; }
    export HOME=$BATS_TEST_TMPDIR
    run -0 offers 'derivctl '
    assert_line compute
    assert_line view
    refute_line --partial "$DS"
    run -0 offers 'derivctl cache '
    assert_line prune
    run -0 offers 'derivctl --la'
    assert_line --layout=derivatives
    run -0 offers "derivctl explain $DS/ts"
    assert_line "$DS/tsnr.nii"
    refute_line --partial std.nii
    run -0 offers 'derivfs --thr'
    assert_output --partial '--threads='
    run -0 offers "derivfs ${DS%?}"
    assert_output --partial "$DS/"
}

@test "completions know the options of --help, all and no others, and the values of each" {
    local program option values
    export HOME=$BATS_TEST_TMPDIR
    # shellcheck disable=SC1091
    source "$COMPLETIONS/derivfs.bash"
    for program in derivfs derivctl; do
        # What stands behind -o works as --name=value too, but for options of FUSE itself.
        "$program" --help | /usr/bin/python3 -c 'import re, sys
help = sys.stdin.read()
words = re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*=?", help)
own = re.findall(r"^    -o ([a-z_]+=?)", help.split("FUSE options")[0], re.M)
print(*sorted(set(words) - {"-o", "--name="} | {"--" + name for name in own}), sep="\n")' >help
        assert [ -s help ]
        _derivfs_options $program | LC_ALL=C sort -u >known
        diff --unified=0 help known
        fish --no-config -c "source $COMPLETIONS/derivfs.fish; __derivfs_options $program" >$program.fish
        grep -v '=.' $program.fish | LC_ALL=C sort -u >known
        diff --unified=0 help known
    done

    for option in layout annex log_level; do
        run -1 derivfs --$option=? "$DS" "$MNT"
        values=$(sed 's/.*expected one of //; s/, /\n/g' <<<"$output" | sort)
        assert_equal "$(_derivfs_value --$option '' | sort)" "$values"
        assert_equal "$(sed -n "s/^--$option=\(.\)/\1/p" derivfs.fish | sort)" "$values"
        assert_equal "$(sed -n "s/ *\*$option=\*) compadd \(.*\) ;;/\1/p" "$COMPLETIONS/_derivfs" |
            tr ' ' '\n' | sort)" "$values"
    done
}
