# SPDX-License-Identifier: MIT
#
# Completion of derivfs and derivctl in fish. Options and commands come from --help, names of derived
# files from `derivctl list`.

function __derivfs_options --argument-names program
    $program --help 2>/dev/null | string match --all --regex --groups-only -- '(?:^|[ ,])(--?[a-zA-Z][a-zA-Z_-]*=?)' |
        string match --invert --regex -- '^(-o|--name=)$'
    if test "$program" = derivfs
        derivfs --help 2>/dev/null | sed -nE '/^FUSE options/q; s/^    -o ([a-z_]+)(=?).*/--\1\2/p'
        printf '%s\n' --log_level={error,warn,info,debug} --xattr={on,off}
    end
    test "$program" = derivfs; or printf '%s\n' --level={participant,group}
    test "$program" = derivfs; or printf '%s\n' --with={participants,scans}
    printf '%s\n' --layout={beside,derivatives} --annex={no,get} --join={alike,all}
end

function __derivctl_commands
    derivctl --help 2>/dev/null | string match --regex --groups-only -- '^ {4}([a-z]+) '
end

# Derived files that no mount shows, in the directory of the current word.
function __derivctl_paths
    set --local dir (string match --regex -- '.*/' (commandline --current-token))
    set --local from $dir
    test -n "$from"; or set from .
    for path in (derivctl list $from 2>/dev/null | string replace --filter --regex '^[a-z]+ +\S+ +\d+ runs? +' '')
        echo $dir(string replace --regex '.*/' '' -- $path)
    end
end

function __derivctl_on
    contains -- $argv (commandline --tokenize --cut-at-cursor)
end

complete --command derivfs --no-files --arguments '(__fish_complete_directories)'
complete --command derivfs --condition 'string match --quiet -- "-*" (commandline -ct)' \
    --no-files --arguments '(__derivfs_options derivfs)'
complete --command derivctl --no-files
complete --command derivctl --condition 'string match --quiet -- "-*" (commandline -ct)' \
    --no-files --arguments '(__derivfs_options derivctl)'
complete --command derivctl --condition 'not __fish_seen_subcommand_from (__derivctl_commands)' \
    --no-files --arguments '(__derivctl_commands)'
complete --command derivctl --condition '__derivctl_on cache' --no-files --arguments 'info verify prune clear'
complete --command derivctl --condition '__derivctl_on status' --no-files \
    --arguments '(findmnt -rnt fuse.derivfs -o TARGET 2>/dev/null)'
complete --command derivctl --condition '__fish_seen_subcommand_from list explain graph compute export recipes report view' \
    --force-files --arguments '(__derivctl_paths)'
