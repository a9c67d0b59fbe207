#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The man pages and --help know the same options and commands, derivfs(1) what the tables in the
# sources have, and `meson install` puts programs and man pages in place.

# bats file_tags=release,once

load helper

# The options in a text, one a line: "-o name", "--name", "-x".
options_in() {
    grep -oP '(?<![\w-])(-o [a-z_]+|--[a-z_-]+|-[A-Za-z](?![\w-]))' | sort -u
}

# tags PAGE SECTION...: what the paragraphs in these sections of a man page are headed with.
tags() {
    awk -v sections="$(printf '%s\n' "${@:2}")" '
        BEGIN { n = split(sections, list, "\n"); for (i = 1; i <= n; i++) wanted[list[i]] }
        /^\.SH/ { sub(/^\.SH "?/, ""); sub(/"$/, ""); inside = $0 in wanted; next }
        tag && inside { print }
        { tag = /^\.T[PQ]/ }' "$ROOT"/mount/*/"$1.1" |
        sed -E 's/^\.[A-Z]+ //; s/\\f[BIR]//g; s/\\~/ /g; s/\\-/-/g; s/" ?//g'
}

# assert_same HELP MANUAL: the same lines, and some.
assert_same() {
    assert [ -s "$1" ]
    run diff --label help --label manual --unified=0 "$1" "$2"
    assert_success
}

@test "derivfs(1) has the options of derivfs --help, and no others" {
    # The lines before are about fusermount3 and how to call the program.
    derivfs --help | sed '1,/^derivfs options:/d; s/--name=value//' | options_in >help
    tags derivfs OPTIONS | options_in >manual
    assert_same help manual
}

@test "derivctl(1) has the options of derivctl --help, and no others" {
    derivctl --help | options_in >help
    tags derivctl OPTIONS COMMANDS | options_in >manual
    assert_same help manual
}

@test "derivctl(1) has the commands of derivctl --help, and no others" {
    derivctl --help | sed -nE 's/^ {4}([a-z]+) .*/\1/p' | sort >help
    tags derivctl COMMANDS | awk '{ print $1 }' | sort -u >manual
    assert_same help manual
}

# names SECTION WORD...: does the section of derivfs(1) have each of the words?
names() {
    local text word
    text=$(awk -v name="$1" '/^\.SH/ { on = index($0, name) } on' "$ROOT/mount/daemon/derivfs.1" | sed 's/\\fB//g; s/\\-/-/g')
    assert [ $# -gt 2 ]
    for word in "${@:2}"; do
        grep -qP "(?<![\w.])\Q$word\E(?!\w)" <<<"$text" || fail "derivfs(1), $1: no $word"
    done
}

# found PATTERN FILE: what a Perl pattern finds in a source, a word each.
found() {
    grep -ohP "$1" "$ROOT"/*/*/"$2"
}

# replied: the errno values that reply_code() of the daemon returns.
replied() {
    grep -rl --include='*.c' '^int reply_code(' "$ROOT/mount" | xargs awk '
        /^int reply_code\(/ { on = 1 }
        /^}/ { on = 0 }
        on && $1 == "case" { codes = codes " " substr($2, 1, length($2) - 1) }
        on && $1 == "return" { print $2 == "err->code;" ? codes : substr($2, 1, length($2) - 1); codes = "" }'
}

# shellcheck disable=SC2046 # words
@test "derivfs(1) has every function, ending, control file, metric and errno" {
    names RECIPES $(found '^ +X\(.*"\K\w+(?=", +FUNCTION\()' expr_ops.h)
    names 'DERIVED FILES' $(found 'ROW\(\w+, "\K\.[^"]+' endings.h)
    names FILES $(found 'metric\(f, "\K\w+' status.c) $(found '\{"\K[a-z.]+(?=",)' control.c)
    names ERRORS EROFS $(replied)
    names ENVIRONMENT $(found 'getenv\("\K\w+' program.c) $(found 'getenv\("\K\w+' program_dir.c) HOME
}

@test "the man pages tell the version of the programs" {
    local version
    version=$(derivctl --version)
    for page in derivfs derivctl; do
        assert_file_contains "$DERIVFS_BIN_DIR/$page.1" "^\.TH ${page^^} 1 [0-9]* \"$version\""
    done
}

@test "meson install puts programs and man pages in place" {
    local file
    run meson install -C "$DERIVFS_BIN_DIR/.." --no-rebuild --destdir "$PWD/root"
    assert_success
    for file in bin/derivfs bin/derivctl share/man/man1/derivfs.1 share/man/man1/derivctl.1 \
        share/bash-completion/completions/derivctl share/zsh/site-functions/_derivfs \
        share/fish/vendor_completions.d/derivctl.fish lib/systemd/user/derivfs@.service; do
        run find -L root -path "*/$file" -type f
        assert_output
    done
    run "$(find root -path '*/bin/derivctl')" --version
    assert_output "$(derivctl --version)"
}
